"""Users and items as vectors: alternating least squares, pairwise and list-level training, spectra."""
