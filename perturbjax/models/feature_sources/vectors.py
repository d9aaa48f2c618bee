"""The one door to vectors of names: a file of vectors, or a word and a file, such as `screen:gdsc1.h5ad`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from perturbjax.errors import InputError, listed
from perturbjax.models.feature_sources.fingerprints import check_rdkit, structure_vectors
from perturbjax.models.feature_sources.matching import matched_rows
from perturbjax.models.feature_sources.other_screen import screen_names, screen_vectors
from perturbjax.models.feature_sources.pairs import pair_vectors
from perturbjax.readers.embedding_file import read_embedding
from perturbjax.readers.gene_pairs import read_gene_pairs
from perturbjax.readers.learned_embeddings import read_learned_embeddings
from perturbjax.readers.screen_file import read_screens
from perturbjax.readers.structures import read_structures
from perturbjax.screens.vocabulary import target_gene


class Vectors(NamedTuple):
    """Vectors of names.

    Attributes:
      names: that have one, each once.
      of: the vectors `[n, D]` of the rows of `names` that are asked for; what they are may depend on which are. A NaN
        row is a name that has none after all.
      rows: which row of `names` each name of a screen means; -1: none.
    """

    names: list[str]
    of: Callable[[np.ndarray], Float[np.ndarray, 'n D']]
    rows: Callable[[Sequence[str]], np.ndarray]


def read_vectors(source: str, axis: str = 'perturbation') -> Vectors:
    """Reads the vectors of the names on that axis.

    Args:
      source: a file in a form of `readers.embedding_file`; or `screen:` and another screen, see
        `readers.screen_file`; `smiles:` and a table of structures, see `readers.structures`; `pairs:` and a table
        of pairs of genes, see `readers.gene_pairs`; or `embeddings:` and what another run learnt, see
        `readers.learned_embeddings`.
      axis: perturbation, context or readout.

    Raises:
      InputError: the file cannot be read, or needs a package that is not installed.
    """
    word, _, path = source.partition(':')
    if word in _READERS and path:
        return _READERS[word](path, axis)
    names, vectors = read_embedding(source)
    return Vectors(names, lambda rows: vectors[rows], lambda asked: _exact_rows(asked, names))


def has_main_axes(source: str) -> bool:
    """Whether the vectors of that source are places on main axes, whose sizes say which of them matter."""
    return source == 'control' or source.partition(':')[0] in ('screen', 'smiles')


def vectors_of(vectors: Vectors, names: Sequence[str], source: str) -> Float[np.ndarray, 'n D']:
    """A vector for each name, NaN for one without; raises InputError where no name has one.

    Also where vectors that are worked out are the same for all names, as those of one name alone are.
    """
    rows = vectors.rows(names)
    if (rows < 0).all():
        raise InputError(
            f'{source}: none of its names ({listed(vectors.names)}) is one of the screen ({listed(names)}).'
        )
    used, place = np.unique(rows, return_inverse=True)
    values = vectors.of(used[used >= 0])
    if not values.shape[1]:
        there = listed(vectors.names[i] for i in used[used >= 0])
        raise InputError(f'{source}: it says nothing, for all that it has of the screen is alike ({there}).')
    return np.where((rows < 0)[:, None], np.nan, values[np.maximum(place - (used[0] < 0), 0)])


def _exact_rows(asked: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """The row of each name as it is, or else without its type."""
    row_of = {name: i for i, name in enumerate(names)}
    return np.array([row_of.get(name, row_of.get(target_gene(name), -1)) for name in asked])


def _of_screen(path: str, axis: str) -> Vectors:
    screens = read_screens(path)
    names = screen_names(screens, axis)
    if not names:
        raise InputError(f'{path}: the screen has no {axis}s to take features of; those of combinations do not count.')
    return _looked_up(names, lambda rows: screen_vectors(screens, axis, [names[i] for i in rows]))


def _of_structures(path: str, axis: str) -> Vectors:
    """Of the compounds that a screen has alone, which few axes tell apart better."""
    check_rdkit(path)
    smiles = read_structures(path)
    names = list(smiles)

    def of(rows: np.ndarray) -> Float[np.ndarray, 'n D']:
        asked = [names[i] for i in rows]
        return structure_vectors(asked, [smiles[name] for name in asked], path)

    return _looked_up(names, of)


def _of_pairs(path: str, axis: str) -> Vectors:
    names, vectors = pair_vectors(read_gene_pairs(path))
    return _looked_up(names, lambda rows: vectors[rows])


def _of_run(path: str, axis: str) -> Vectors:
    names, vectors = read_learned_embeddings(path, axis)
    return _looked_up(names, lambda rows: vectors[rows])


def _looked_up(names: list[str], of: Callable[[np.ndarray], Float[np.ndarray, 'n D']]) -> Vectors:
    return Vectors(names, of, lambda asked: matched_rows(asked, names))


_READERS: dict[str, Callable[[str, str], Vectors]] = {
    'screen': _of_screen,
    'smiles': _of_structures,
    'pairs': _of_pairs,
    'embeddings': _of_run,
}
