"""Embeddings in ID tables, and what collisions do to them."""
