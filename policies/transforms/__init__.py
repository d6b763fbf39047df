"""Log transforms: what a platform does to its log before learning (debiasing weights, windows, purges)."""
