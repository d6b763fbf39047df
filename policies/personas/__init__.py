"""Multi-vector user models: several persona vectors per user, combined by attention to the candidate item."""
