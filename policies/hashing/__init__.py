"""Embeddings in ID tables."""
