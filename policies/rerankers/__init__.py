"""Rerankers: one ranking in, another out. One file per method."""
