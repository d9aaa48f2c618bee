"""Public screens by name: the catalogue, and the downloads that fill its cache."""
