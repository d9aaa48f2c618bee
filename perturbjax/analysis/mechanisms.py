"""Is the nearest neighbour of a compound a compound of the same mechanism?"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null
from perturbjax.analysis.vectors import Tables, by_source, compounds, stack_sources
from perturbjax.errors import InputError, check_range


class MechanismAgreement(NamedTuple):
    """How often the nearest compound shares the mechanism: overall beside the null, and by mechanism."""

    overall: pd.DataFrame
    by_mechanism: pd.DataFrame


def mechanism_agreement(
    tables: Tables, mechanisms: pd.DataFrame, permutations: int = 1000, seed: int = 0
) -> MechanismAgreement:
    """The share of compounds whose nearest compound by cosine has the same mechanism.

    Neighbours are all compounds of known mechanism. Only compounds whose mechanism another compound shares are
    counted. The null permutes the mechanisms among compounds. All doses of a compound are one compound.

    Args:
      tables: as for `target_recall`.
      mechanisms: columns `compound` and `label`, as `read_labels` returns them.
      permutations: number of draws of the null.
      seed: seed of the null.

    Raises:
      InputError: no compound of the tables has a known mechanism, or no two of them share one.
    """
    check_range('analysis', 1, permutations=permutations)
    check_columns(mechanisms, ('compound', 'label'), 'mechanisms')
    chosen = by_source(tables, functools.partial(compounds, known=set(mechanisms['compound'])), 'compounds')
    members = _members(mechanisms, next(iter(chosen.values())).names)
    share = members.to_numpy() @ members.to_numpy().T > 0
    counted = share.any(axis=1)
    if not counted.any():
        raise InputError(
            f'mechanisms: no two of the {len(members)} known compounds share one; nothing can be compared.'
        )
    overall, by_mechanism = {}, {}
    for source, vectors in chosen.items():
        nearest = _nearest(vectors.values)
        agrees = share[np.arange(len(nearest)), nearest]
        null = _permuted_agreement(share, counted, nearest, permutations, np.random.default_rng(seed))
        row = {'measure': 'nearest_shares_mechanism'} | beside_null(agrees[counted].mean(), null)
        counts = {'compounds': int(counted.sum()), 'neighbours': len(nearest), 'mechanisms': len(members.columns)}
        overall[source], by_mechanism[source] = pd.DataFrame([row | counts]), _by_mechanism(members, agrees)
    return MechanismAgreement(stack_sources(overall), stack_sources(by_mechanism))


def _members(mechanisms: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    """Which compound has which mechanism, 0/1, `[compounds, mechanisms]`; for mechanisms of at least two compounds."""
    here = mechanisms[mechanisms['compound'].isin(names)]
    table = pd.crosstab(here['compound'], here['label']).reindex(names, fill_value=0).clip(upper=1)
    return table.loc[:, table.sum() > 1]


def _nearest(vectors: np.ndarray) -> np.ndarray:
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    return cosine.argmax(axis=1)


def _permuted_agreement(
    share: np.ndarray, counted: np.ndarray, nearest: np.ndarray, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    null = np.empty(permutations)
    for draw in range(permutations):
        order = rng.permutation(len(share))
        null[draw] = share[order, order[nearest]][counted[order]].mean()
    return null


def _by_mechanism(members: pd.DataFrame, agrees: np.ndarray) -> pd.DataFrame:
    counts = members.sum()
    shared = members.T @ agrees.astype(float) / counts
    return pd.DataFrame({'compounds': counts, 'nearest_shares': shared}).rename_axis('mechanism').reset_index()
