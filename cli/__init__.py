"""The command line. Every command has its own file and imports heavy libraries only when it runs."""

from .entry import app, main

__all__ = ["app", "main"]
