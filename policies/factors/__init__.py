"""Matrix factorization policies: alternating least squares, BPR, list-level training, and spectral control."""
