"""Several vectors per user."""
