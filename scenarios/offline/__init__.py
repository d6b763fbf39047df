"""Offline evaluation: compare policies on held-out interactions of a log, and tune their settings."""
