"""Policies that are small neural networks: Mult-VAE, Mult-DAE and a causal transformer (extra `neural`)."""
