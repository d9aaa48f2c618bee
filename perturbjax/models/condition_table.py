"""A table with an embedding of each condition, and how the perturbations of a screen are found in it."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from perturbjax.errors import InputError, listed
from perturbjax.models.factorization import find_rows
from perturbjax.readers.asked import Forms, KnownNames
from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING, Vocabulary


class Table(NamedTuple):
    """The embeddings of I conditions.

    Attributes:
      known: their perturbations, in lexicographic order. With K = 1 the table has no combinations.
      vector: embeddings.
    """

    known: Int[jax.Array, 'I K']
    vector: Float[jax.Array, 'I D']


def condition_table(
    names: Sequence[str], vectors: Float[np.ndarray, 'n D'], vocabulary: Vocabulary, path: str, dtype: jnp.dtype
) -> Table:
    """The rows of a table whose names the vocabulary knows.

    A name is written as in `--queries`: `B+A`, `A+ctrl`, `ctrl`, with or without types. A part without its type is
    every perturbation of that name, but a row with all types goes before.

    Raises InputError where no name is known, or two rows mean one condition.
    """
    row_of = _rows(names, vocabulary, path)
    if not row_of:
        of_screen = listed(vocabulary.perturbations)
        raise InputError(f'{path}: none of its conditions ({listed(names)}) is one of the screen ({of_screen}).')
    order = max(map(len, row_of))
    padded = {ids + (PADDING,) * (order - len(ids)): row for ids, row in row_of.items()}
    known = sorted(padded)
    return Table(jnp.asarray(known, jnp.int32), jnp.asarray(vectors[[padded[ids] for ids in known]], dtype))


def _rows(names: Sequence[str], vocabulary: Vocabulary, path: str) -> dict[tuple[int, ...], int]:
    """The row of each condition, by the sorted ids of its parts."""
    known, id_of = KnownNames(vocabulary, Forms()), {name: i for i, name in enumerate(vocabulary.perturbations)}
    whole: dict[tuple[int, ...], int] = {}
    without_type: dict[tuple[int, ...], int] = {}
    for row, name in enumerate(names):
        parts = known.parts(name)
        unclear = known.unclear([name])
        options = [[each for each in unclear.get(part, [known.find(part)]) if each in id_of] for part in parts]
        found = whole if all(part in id_of for part in parts) else without_type
        for chosen in itertools.product(*options):
            ids = tuple(sorted(id_of[part] for part in chosen)) or (CONTROL_ID,)
            if ids in found:
                raise InputError(
                    f'{path}: the rows {names[found[ids]]!r} and {name!r} are one condition; keep one of them.'
                )
            found[ids] = row
    return without_type | whole


def embed(table: Table, perturbation: Int[Array, 'Q K']) -> Float[jax.Array, 'Q D']:
    """The embeddings of perturbations; NaN where the table has none.

    In a table with combinations each condition has its own row. In one without them the embedding of a combination
    is the sum of its parts', as in `models.linear`.
    """
    asked = jnp.asarray(perturbation)
    if table.known.shape[1] > 1:
        return _own(table, asked)
    parts = _own(table, asked.reshape(-1, 1)).reshape(*asked.shape, -1)
    return jnp.where((asked == PADDING)[..., None], 0, parts).sum(axis=1)


def _own(table: Table, perturbation: Int[jax.Array, 'Q K']) -> Float[jax.Array, 'Q D']:
    place, found = find_rows(table.known, perturbation)
    return jnp.where(found[:, None], table.vector[place], jnp.nan)
