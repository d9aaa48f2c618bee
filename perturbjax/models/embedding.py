"""Where the linear model's G and P come from when not from the training data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from perturbjax.models.feature_sources.vectors import read_vectors, vectors_of

# (names, width, dtype) -> a row for each name, NaN for a name without an embedding; None: from training.
Embedding = Callable[[tuple[str, ...], int, jnp.dtype], Float[jax.Array, 'names R'] | None]


def embedding(source: str, seed: int = 0, axis: str = 'perturbation') -> Embedding:
    """The embedding of that source: `training`, `identity`, `zero`, `random`, or a file's path.

    A file has one column per name, or one line, or it is a .gmt of gene sets: see `readers.embedding_file`. A
    perturbation is looked up by its full name, then without its type. Other sources are in `feature_sources.vectors`.
    Raises InputError where it cannot be read.
    """
    made: dict[str, Embedding] = {
        'training': lambda names, width, dtype: None,
        'identity': lambda names, width, dtype: jnp.eye(len(names), dtype=dtype),
        'zero': lambda names, width, dtype: jnp.zeros((len(names), width), dtype),
        'random': lambda names, width, dtype: jax.random.normal(jax.random.key(seed), (len(names), width), dtype),
    }
    return made[source] if source in made else from_file(source, axis)


def from_file(source: str, axis: str = 'perturbation') -> Embedding:
    """The embedding of a file, of names on that axis; see `embedding`."""
    vectors = read_vectors(source, axis)

    def lookup(names: tuple[str, ...], width: int, dtype: jnp.dtype) -> Float[jax.Array, 'names R']:
        return jnp.asarray(vectors_of(vectors, names, source), dtype)

    return lookup
