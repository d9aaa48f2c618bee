"""From the columns of a file to the names of contexts, perturbations and readouts."""
