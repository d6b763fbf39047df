"""The version of the model, in a file of its own: looking at results must not load the whole model."""

MODEL_VERSION = 3
"""Raise it with every change of code that changes results: runs of an older one are not taken over."""
