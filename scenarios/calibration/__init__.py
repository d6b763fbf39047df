"""Find generated worlds whose first log looks like a given one (`echodrift calibrate`)."""
