"""Perturbation models in JAX, judged beside the simplest rules that could have answered."""

from perturbjax.analysis.embeddings import axis_table, read_embeddings
from perturbjax.analysis.whatif import what_if
from perturbjax.errors import InputError
from perturbjax.experiment import run
from perturbjax.models import Model, Query
from perturbjax.readers.loading import load

__all__ = ['InputError', 'Model', 'Query', 'axis_table', 'load', 'read_embeddings', 'run', 'what_if']
