"""Friends: as a source of what is copied, or as a pull on factors."""
