"""Exploration as a layer over any factor model."""
