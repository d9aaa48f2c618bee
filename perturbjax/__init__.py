"""Perturbation models in JAX, judged beside the simplest rules that could have answered."""

from perturbjax.analysis.embeddings import read_embeddings
from perturbjax.experiment import run
from perturbjax.models import Model, Query
from perturbjax.screens.loading import load

__all__ = ['Model', 'Query', 'load', 'read_embeddings', 'run']
