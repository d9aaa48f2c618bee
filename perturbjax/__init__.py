"""Perturbation models in JAX, judged beside the simplest rules that could have answered."""
