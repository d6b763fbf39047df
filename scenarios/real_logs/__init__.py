"""Worlds inferred from real logs: read the files, find topics, tastes and quality, assemble the twin."""
