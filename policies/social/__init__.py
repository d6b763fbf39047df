"""Social recommenders: friends as a source of copied takes (Poisson), or as a pull on factors (social MF)."""
