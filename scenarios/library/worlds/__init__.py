"""Presets of generated worlds (TOML): settings fitted to real logs, and what they match."""
