"""Studies: how they are specified, the runs they expand into, and the folders that keep their results."""
