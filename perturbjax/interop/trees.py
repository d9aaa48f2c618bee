"""Gradient-boosted trees on embedding tables, a baseline that is fitted outside of JAX.

One regression for all observations, of the change from control on (context, embedding of the perturbation, embedding
of the readout), as Miladinovic et al. 2025 set CatBoost beside LPM. The `fit` and `predict` of a model are traced by
JAX, which trees cannot be, so these hand in what they predict as other tools do, by `evaluation.predictions`.
"""

import importlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from perturbjax.errors import InputError, check_range
from perturbjax.models.baselines import control_sums, delta, in_context
from perturbjax.models.embedding import embedding
from perturbjax.models.linear import components, sum_of_parts
from perturbjax.models.model import Query
from perturbjax.models.sums import Sums
from perturbjax.prediction.file import Block, held_out
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.splits import TRAIN, Split
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary

_AT_ONCE = 2**18  # observations that are predicted at once, for bounded memory
_MOST_CATEGORIES = 255  # of one feature, in scikit-learn


class Tables(NamedTuple):
    """The embeddings of perturbations, 0 for control, and of readouts; a NaN row: there is none."""

    perturbations: Float[np.ndarray, 'P D']
    readouts: Float[np.ndarray, 'U D2']


def boosted_trees(
    compendium: Compendium,
    split: Split,
    perturbations: str,
    readouts: str,
    width: int = 32,
    observations: int = 200_000,
    seed: int = 0,
    regressor: Any = None,
) -> pd.DataFrame:
    """Fits trees on the training profiles of a split and predicts its held-out profiles.

    With the defaults, half a minute on one CPU core (`OMP_NUM_THREADS=1`, which is faster where cores are shared).

    Args:
      compendium: as `perturbjax.load` gives it.
      split: as `screens.splits.make_split` gives it.
      perturbations, readouts: files with a vector for each, in a form of `readers.embedding_file`; or `identity` or
        `random`, to compare with. A combination's vector is the sum of its parts'.
      width: wider vectors are reduced to so many principal components.
      observations: about how many to fit on, as many of each training profile.
      seed: of the choice of observations, of the trees, and of random vectors.
      regressor: another one, with the `fit` and `predict` of scikit-learn, such as `catboost.CatBoostRegressor()`.

    Returns:
      A line for each held-out profile: context, perturbation, and a column for each readout, on the scale of the
      screen; NaN where a vector is missing. Written by `to_csv(path, index=False)` it can be named in
      `evaluation.predictions`.

    Raises:
      InputError: a file cannot be read or fits no training profile, or scikit-learn is not installed.
    """
    check_range('boosted_trees', 1, width=width, observations=observations)
    names = compendium.vocabulary
    tables = Tables(
        _table(perturbations, 'perturbation', names, width, seed), _table(readouts, 'readout', names, width, seed + 1)
    )
    tables.perturbations[CONTROL_ID] = 0
    regressor = regressor or _usual(seed, len(names.contexts))
    control = control_sums(compendium, split.mask(TRAIN))
    features, changes = _sample(compendium, split, tables, control, observations, seed)
    if not len(changes):
        raise InputError(f'{perturbations}: no training profile has a vector; give a file with those perturbations.')
    regressor.fit(features, changes)
    predicted = [_predict(regressor, block, tables, control) for block in held_out(compendium, split)]
    return pd.concat(predicted).groupby(['context', 'perturbation'], sort=False).mean().reset_index()


def _usual(seed: int, contexts: int) -> Any:
    try:
        ensemble = importlib.import_module('sklearn.ensemble')
    except ImportError as error:
        raise InputError("boosted_trees: it needs scikit-learn; pip install 'perturbjax[trees]'.") from error
    categorical = [0] if contexts <= _MOST_CATEGORIES else None
    return ensemble.HistGradientBoostingRegressor(categorical_features=categorical, random_state=seed)


def _table(source: str, axis: str, vocabulary: Vocabulary, width: int, seed: int) -> Float[np.ndarray, 'n D']:
    """The vectors of the names, or their principal components."""
    names = getattr(vocabulary, f'{axis}s')
    found = embedding(source, seed, axis)(names, width, jnp.dtype(jnp.float32))
    if found is None:
        raise InputError("boosted_trees: there is no embedding from training; name a file, 'identity' or 'random'.")
    table = np.array(found)
    known = ~np.isnan(table).any(axis=1)
    if table.shape[1] <= width:
        return table
    reduced = np.full((len(names), width), np.nan, np.float32)
    reduced[known] = components(jnp.asarray(table[known]), width)
    return reduced


def _features(
    tables: Tables,
    context: Int[np.ndarray, ' n'],
    perturbation: Int[np.ndarray, 'n K'],
    readout: Int[np.ndarray, ' n'],
) -> Float[np.ndarray, 'n F']:
    vectors = np.asarray(sum_of_parts(tables.perturbations, perturbation))
    return np.column_stack([context.astype(np.float32), vectors, tables.readouts[readout]])


def _sample(
    compendium: Compendium, split: Split, tables: Tables, control: tuple[Sums, ...], observations: int, seed: int
) -> tuple[Float[np.ndarray, 'n F'], Float[np.ndarray, ' n']]:
    """Features and changes of training observations that were measured and have vectors; control has none."""
    rng, features, changes = np.random.default_rng(seed), [], []
    used = [_used(screen, mask, tables) for screen, mask in zip(compendium.screens, split.mask(TRAIN), strict=True)]
    each = math.ceil(observations / max(1, sum(map(len, used))))
    for screen, rows in zip(compendium.screens, used, strict=True):
        change = np.asarray(delta(screen, control))[rows]
        known = ~np.isnan(change) & ~np.isnan(tables.readouts[screen.readout]).any(axis=1)
        drawn = [rng.permutation(np.flatnonzero(measured))[:each] for measured in known]
        row = np.repeat(np.arange(len(rows)), [len(columns) for columns in drawn])
        column = np.concatenate([*drawn, np.zeros(0, int)]).astype(int)
        profile = rows[row]
        features.append(
            _features(tables, screen.context[profile], screen.perturbation[profile], screen.readout[column])
        )
        changes.append(change[row, column])
    return np.concatenate(features), np.concatenate(changes)


def _used(screen: Screen, mask: np.ndarray, tables: Tables) -> Int[np.ndarray, ' n']:
    """The perturbed training profiles that have a vector."""
    has_vector = ~np.isnan(sum_of_parts(tables.perturbations, screen.perturbation)).any(axis=1)
    return np.flatnonzero(mask & ~screen.is_control & np.asarray(has_vector))


def _predict(regressor: Any, block: Block, tables: Tables, control: tuple[Sums, ...]) -> pd.DataFrame:
    """The predictions for the profiles of a block, with their names."""
    query = block.query
    change = np.concatenate(list(_changes(regressor, query, tables)))
    table = pd.DataFrame(np.asarray(in_context(control, query)) + change, columns=list(block.data.var_names))
    names = block.data.obs[['context', 'perturbation']].reset_index(drop=True)
    return pd.concat([names, table], axis=1)


def _changes(regressor: Any, query: Query, tables: Tables) -> Iterator[Float[np.ndarray, 'n M']]:
    """The predicted changes, some profiles at a time; NaN where a vector is missing."""
    readout = np.asarray(query.readout)
    size = max(1, _AT_ONCE // len(readout))
    for start in range(0, len(query.context), size):
        context, perturbation = (np.asarray(ids)[start : start + size] for ids in (query.context, query.perturbation))
        row, column = np.indices((len(context), len(readout))).reshape(2, -1)
        features = _features(tables, context[row], perturbation[row], readout[column])
        known = ~np.isnan(features).any(axis=1)
        change = np.full(len(features), np.nan, np.float32)
        if known.any():
            change[known] = regressor.predict(features[known])
        yield change.reshape(len(context), len(readout))
