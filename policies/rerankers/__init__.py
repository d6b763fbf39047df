"""Rerankers: turn a policy's ranking into a slate. One module per method, plus shared helpers."""
