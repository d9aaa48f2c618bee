"""Where the linear model's G and P come from when not from the training data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from perturbjax.errors import InputError, listed
from perturbjax.readers.embedding_file import read_embedding
from perturbjax.screens.vocabulary import target_gene

# (names, width, dtype) -> a row for each name, NaN for a name without an embedding; None: from training.
Embedding = Callable[[tuple[str, ...], int, jnp.dtype], Float[jax.Array, 'names R'] | None]


def embedding(source: str, seed: int = 0) -> Embedding:
    """The embedding of that source: `training`, `identity`, `zero`, `random`, or a file's path.

    A file has one column per name, or one line, or it is a .gmt of gene sets: see `readers.embedding_file`. A
    perturbation is looked up by its full name, then without its type. Raises InputError where it cannot be read.
    """
    made: dict[str, Embedding] = {
        'training': lambda names, width, dtype: None,
        'identity': lambda names, width, dtype: jnp.eye(len(names), dtype=dtype),
        'zero': lambda names, width, dtype: jnp.zeros((len(names), width), dtype),
        'random': lambda names, width, dtype: jax.random.normal(jax.random.key(seed), (len(names), width), dtype),
    }
    return made[source] if source in made else from_file(source)


def from_file(path: str) -> Embedding:
    """The embedding of a file; see `embedding`."""
    known, vectors = read_embedding(path)
    row_of = {name: i for i, name in enumerate(known)}

    def lookup(names: tuple[str, ...], width: int, dtype: jnp.dtype) -> Float[jax.Array, 'names R']:
        rows = np.array([row_of.get(name, row_of.get(target_gene(name), -1)) for name in names])
        if (rows < 0).all():
            raise InputError(f'{path}: none of its names ({listed(known)}) is one of the screen ({listed(names)}).')
        return jnp.asarray(np.where(rows[:, None] < 0, np.nan, vectors[rows]), dtype)

    return lookup
