"""Offline evaluation: policies ranked against held-out interactions of a log, and tuned on a part of it."""
