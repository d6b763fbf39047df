"""Neural policies: Mult-VAE, Mult-DAE and a causal transformer (need the extra `neural`)."""
