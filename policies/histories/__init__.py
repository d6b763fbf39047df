"""Policies that score items from a user's current history: EASE, item-based and user-based neighbors."""
