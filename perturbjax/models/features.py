"""What is known of names from elsewhere, for a network to learn from: features of perturbations, readouts, contexts.

A network that has features of a perturbation predicts it though nobody measured it. A source is

- a file with a vector for each name, or one that these follow from (`feature_sources.vectors`);
- `numbers`, the doses and times in the names, or `rests`, the names without them, see `name_features`;
- for perturbations `readouts`: one whose target is itself a readout has that readout's loadings on the main axes of
  the training profiles other than its own, much as in P of Ahlmann-Eltze et al. 2025;
- for contexts `control`, the main axes of their control profiles (`feature_sources.control`).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Bool, Float
from scipy.sparse.linalg import svds

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.models.embedding import from_file
from perturbjax.models.feature_sources.control import control_places
from perturbjax.models.feature_sources.vectors import has_main_axes
from perturbjax.models.model import Constants, Masks
from perturbjax.models.name_features import OF_NAMES
from perturbjax.models.training_counts import AXES, training_counts
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID

_MOST_AXES = 32  # of a decomposition of training profiles
# Of a source; the projection of every member has a row for each.
_MOST_COLUMNS = 20_000

# (compendium, training) -> a row for each name of the axis, NaN where it has none
Source = Callable[[Compendium, Masks], Float[np.ndarray, 'n F']]


class Features(NamedTuple):
    """The features of n names.

    Attributes:
      values: whose squares add up to 1 for a trained name, on average; 0 where a name has none.
      known: which names have any.
    """

    values: Float[np.ndarray, 'n F']
    known: Bool[np.ndarray, ' n']


def feature_reader(sources: Mapping[str, Any]) -> Callable[[Compendium, Masks], Constants]:
    """Makes the constants of a learned model that has features.

    Args:
      sources: for an axis (perturbation, readout or context) a source, or several.

    Returns:
      `(compendium, training) -> {'features': {axis: [n, F]}, 'has_features': {axis: [n]}}`, on the host.

    Raises:
      InputError: no such axis, or a file that cannot be read.
    """
    names = {axis: _listed_sources(axis, sources[axis]) for axis in sources}
    readers = {axis: [_source(axis, name) for name in names[axis]] for axis in sources}

    def read(compendium: Compendium, training: Masks) -> Constants:
        counts = training_counts(compendium, training)
        found = dict[str, Features]()
        for axis, each in readers.items():
            tables = [source(compendium, training) for source in each]
            _check_width(axis, names[axis], tables)
            found[axis] = joined(tables, counts[f'{axis}_counts'] > 0, [has_main_axes(name) for name in names[axis]])
            _tell(axis, _names(compendium, axis), found[axis].known)
        return {
            'features': {axis: each.values for axis, each in found.items()},
            'has_features': {axis: each.known for axis, each in found.items()},
        }

    return read


def joined(
    tables: Sequence[Float[np.ndarray, 'n _F']], is_trained: Bool[np.ndarray, ' n'], in_one_unit: Sequence[bool] = ()
) -> Features:
    """Tables side by side, each standardised on the trained names that it has; NaN rows are names without.

    Each table has the same share of a row's squares. A column that does not vary over trained names is 0.

    Args:
      tables: a row for each name.
      is_trained: which names have training profiles.
      in_one_unit: of each table, whether its columns keep their sizes beside each other, as main axes do, of which the
        short ones are mostly noise; without it each column has its own unit.
    """
    parts = list[np.ndarray]()
    known = np.zeros(len(is_trained), bool)
    for table, together in zip(tables, in_one_unit or [False] * len(tables), strict=True):
        has = ~np.isnan(table).any(axis=1)
        chosen = table[has & is_trained] if (has & is_trained).any() else np.zeros((1, table.shape[1]))
        spread = chosen.std(axis=0)
        varies = spread > 1e-6 * np.abs(chosen).max(axis=0)
        size = np.sqrt((spread[varies] ** 2).mean()) if together and varies.any() else np.where(varies, spread, 1)
        unit = size * np.sqrt(max(varies.sum(), 1) * len(tables))
        scaled = np.where(varies, (table - chosen.mean(axis=0)) / unit, 0)
        parts.append(np.where(has[:, None], scaled, 0))
        known |= has
    return Features(np.concatenate(parts, axis=1).astype(np.float32), known)


def _check_width(axis: str, names: Sequence[str], tables: Sequence[Float[np.ndarray, 'n _F']]) -> None:
    for name, table in zip(names, tables, strict=True):
        if table.shape[1] > _MOST_COLUMNS:
            raise InputError(
                f'models.lpm.features.{axis}: {name} has {table.shape[1]:,} numbers for each name, more than '
                f'{_MOST_COLUMNS:,}; give their main axes instead.'
            )


def _listed_sources(axis: str, given: Any) -> list[str]:
    """The sources of an axis; raises InputError where there is no such axis or they are no texts."""
    if axis not in AXES:
        raise InputError(f'models.lpm.features: no such axis {axis!r}; {did_you_mean(axis, AXES)}')
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or not found or not all(isinstance(name, str) for name in found):
        raise InputError(f'models.lpm.features.{axis}: {given!r} must be a source, or a list of some.')
    return list(found)


def _source(axis: str, name: str) -> Source:
    if (axis, name) in _OF_TRAINING:
        return _OF_TRAINING[axis, name]
    if name in OF_NAMES:
        of_names = OF_NAMES[name]
    else:
        lookup = from_file(name, axis)

        def of_names(names: Sequence[str]) -> Float[np.ndarray, 'n F']:
            return np.array(lookup(tuple(names), _MOST_AXES, jnp.dtype(jnp.float32)), float)

    def read(compendium: Compendium, training: Masks) -> Float[np.ndarray, 'n F']:
        values = of_names(_names(compendium, axis))
        if axis == 'perturbation':
            values[CONTROL_ID] = np.nan
        return values

    return read


def _names(compendium: Compendium, axis: str) -> tuple[str, ...]:
    return getattr(compendium.vocabulary, f'{axis}s')


def _tell(axis: str, names: Sequence[str], known: Bool[np.ndarray, ' n']) -> None:
    """Says which names have no features; control needs none."""
    without = [name for i, name in enumerate(names) if not known[i] and (axis, i) != ('perturbation', CONTROL_ID)]
    if without:
        _warn_once(
            f'features: {len(without)} of {len(names)} {axis}s have none ({listed(without)}); without training '
            'profiles they get no answer of the network.'
        )


@functools.cache
def _warn_once(text: str) -> None:
    """All splits of a run have the same features."""
    logging.warning('%s', text)


def _loadings_of_targets(compendium: Compendium, training: Masks) -> Float[np.ndarray, 'P R']:
    """The loadings of each perturbation's target, of a PCA of the training profiles about their contexts' means.

    The profiles of a perturbation itself do not count in its own loadings: they would tell what it does to its target,
    also to members that are to predict it unseen.
    """
    target, parts, rows = compendium.vocabulary.target_readouts(), list[np.ndarray](), list[np.ndarray]()
    for screen, mask in zip(compendium.screens, training, strict=True):
        used = np.asarray(mask) & ~screen.is_control
        some = np.zeros((int(used.sum()), len(compendium.vocabulary.readouts)))
        some[:, screen.readout] = _about_their_means(screen.values[used], screen.context[used])
        rows.append(some)
        parts.append(np.where(screen.perturbation[used] > CONTROL_ID, screen.perturbation[used], -1))
    change = np.concatenate(rows)
    places = _places(change)
    own = np.zeros((len(target), places.shape[1]))
    for ids in np.concatenate(parts).T:
        is_known = (ids >= 0) & (target[ids] >= 0)
        at, on = ids[is_known], np.flatnonzero(is_known)
        np.add.at(own, at, change[on, target[at]][:, None] * places[on])
    return np.where(target[:, None] < 0, np.nan, (change.T @ places)[target] - own)


def _about_their_means(values: Float[np.ndarray, 'N M'], context: np.ndarray) -> Float[np.ndarray, 'N M']:
    """Values less the mean of their context; 0 where not measured."""
    left = np.array(values, float)
    for each in np.unique(context):
        rows = context == each
        measured = ~np.isnan(left[rows])
        left[rows] -= np.where(measured, left[rows], 0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
    return np.nan_to_num(left)


# What the run's own training profiles say.
_OF_TRAINING: dict[tuple[str, str], Source] = {
    ('perturbation', 'readouts'): _loadings_of_targets,
    ('context', 'control'): control_places,
}


def _places(rows: Float[np.ndarray, 'N U']) -> Float[np.ndarray, 'N R']:
    """Where the rows lie on their main axes, the longest axis first; each axis has a sum of squares of 1."""
    rank = min(_MOST_AXES, *(size - 1 for size in rows.shape))
    if rank < 1 or not rows.any():
        return np.zeros((len(rows), 1))
    start = np.random.default_rng(0).normal(size=min(rows.shape))
    places, lengths, _ = svds(rows, k=rank, v0=start)
    return places[:, np.argsort(-lengths)]
