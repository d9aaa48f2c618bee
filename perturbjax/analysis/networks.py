"""Who acts on whom: gene networks from changes, and CausalBench's two scores on measured rows.

An edge A -> B says that readout B changes when gene A is perturbed; the larger the absolute change,
on the screens' scale as it is, the surer the edge. (To divide each readout by its spread lets
through noisy ones that hardly change; where units differ, divide the changes first.)

CausalBench: Chevalley et al. 2022, `statistical_evaluation.py`. Unlike there a pair that only a path
joins counts as unlinked, for in a dense network some path joins all.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse
from scipy.stats import mannwhitneyu, wasserstein_distance

from perturbjax.errors import InputError, listed
from perturbjax.evaluation.statistics import bootstrap, cluster_sums, interval
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL, parts, perturbation_type, target

SIGNIFICANT = 0.05
# Rows of control, and of a gene, without which no test is tried.
LEAST_ROWS = 2
RANDOM = 'random'

_PAIR = ['gene', 'readout']


class Rows(NamedTuple):
    """What edges are tested on: cells of one context, or wells or profiles where there are no cells.

    Attributes:
      control: `[N, M]`, dense (NaN = not measured) or CSR.
      perturbed: the same by gene.
      readouts: names `[M]`.
    """

    control: Any
    perturbed: Mapping[str, Any]
    readouts: tuple[str, ...]


def network(changes: pd.DataFrame, top: int) -> pd.DataFrame:
    """The `top` edges by absolute change, the strongest first: gene, readout, change.

    Only single genes perturb (no compound, no combination), and none acts on itself; of several
    perturbations of a gene the strongest counts. There are fewer edges where there are fewer changes.

    Args:
      changes: from control, perturbations x readouts, as `complete` and `measured_changes` give them.
      top: how many edges.
    """
    pairs = _pairs(changes)
    strongest = pairs['change'].abs().sort_values(ascending=False, kind='stable').index
    return pairs.loc[strongest].drop_duplicates(_PAIR).head(top).reset_index(drop=True)


def _pairs(changes: pd.DataFrame) -> pd.DataFrame:
    """Every change that may be an edge, a row each; a missing one is none."""
    single = changes[[_is_gene(name) for name in changes.index]]
    genes, readouts = [target(name) for name in single.index], single.columns.to_numpy(object)
    table = pd.DataFrame(
        {
            'gene': np.repeat(np.array(genes, object), len(readouts)),
            'readout': np.tile(readouts, len(genes)),
            'change': single.to_numpy(np.float64).ravel(),
        }
    )
    return table[(table['gene'] != table['readout']) & table['change'].notna()].reset_index(drop=True)


def _is_gene(perturbation: str) -> bool:
    return len(parts(perturbation)) == 1 and perturbation_type(perturbation) != 'Compound'


def rows_of(measurements: Measurements, context: str) -> Rows:
    """The rows of a context by gene, those of control apart; genes with fewer than 2 rows are left out.

    Take rows that no training has seen, and counts normalised as they are for profiles.
    Raises InputError where control or every gene has fewer than 2 rows.
    """
    here = measurements.context == context
    genes = np.array([target(name) if _is_gene(name) else '' for name in measurements.perturbation], object)
    names, counts = np.unique(genes[here & (genes != '')].astype(str), return_counts=True)
    control = here & (measurements.perturbation == CONTROL)
    if control.sum() < LEAST_ROWS or not (counts >= LEAST_ROWS).any():
        raise InputError(
            f'{measurements.name}: an edge is tested on several rows of control and of a perturbed gene, but in '
            f'{context!r} control has {control.sum()} and no gene has more than {max(counts, default=0)} '
            f'(contexts are {listed(sorted(set(measurements.context)))}); give cells or wells, not their averages.'
        )
    perturbed = {str(name): measurements.values[here & (genes == name)] for name in names[counts >= LEAST_ROWS]}
    return Rows(measurements.values[control], perturbed, tuple(map(str, measurements.readout)))


def judge(pairs: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """The pairs (gene, readout) that rows can test: their Wasserstein distance, and whether they are true.

    The distance is between the readout's values in control rows and in the gene's, on their scale. A
    pair is true where a Mann-Whitney test tells the two apart (two-sided p < 0.05).
    """
    place = pd.Series(range(len(rows.readouts)), rows.readouts)
    known = pairs[pairs['gene'].isin(rows.perturbed) & pairs['readout'].isin(place.index)]
    judged = [known[_PAIR].head(0).assign(distance=0.0, true=False)]
    for gene, group in known[_PAIR].groupby('gene', sort=False):
        columns = place[group['readout']].to_numpy()
        control, perturbed = (_dense(block[:, columns]) for block in (rows.control, rows.perturbed[str(gene)]))
        enough = np.minimum(*((~np.isnan(block)).sum(axis=0) for block in (control, perturbed))) >= LEAST_ROWS
        if enough.any():
            judged.append(group[enough].assign(**_differ(control[:, enough], perturbed[:, enough])))
    return pd.concat(judged, ignore_index=True)


def _dense(block: Any) -> np.ndarray:
    return np.asarray(block.toarray() if scipy.sparse.issparse(block) else block, np.float64)


def _differ(control: np.ndarray, perturbed: np.ndarray) -> dict[str, Any]:
    """Distance and verdict for each of the columns of two blocks of rows."""
    p = mannwhitneyu(control, perturbed, nan_policy='omit').pvalue
    columns = zip(control.T, perturbed.T, strict=True)
    distance = [wasserstein_distance(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in columns]
    return {'distance': distance, 'true': p < SIGNIFICANT}


def compare_networks(
    changes: Mapping[str, pd.DataFrame], rows: Rows, top: int = 1000, pairs: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How well networks from changes foretell measured rows, beside as many random edges.

    Args:
      changes: by label; such as `{'lpm': complete(...), 'measured': measured_changes(...)}`.
      rows: what edges are tested on, the only genes and readouts that may be edges here.
      top: edges of each network.
      pairs: random pairs that are no edges, to find true ones among.
      seed: of the random edges and pairs, and of the bootstrap.

    Returns:
      One row per network and metric: network, metric, value, low and high (95%, bootstrap over
      perturbed genes), number (of pairs tested), genes. Metrics: `wasserstein`, mean over edges, the
      higher the better; `precision`, the share of edges that are true; `false_omission_rate`, the
      share of the pairs that are no edges and yet true, the lower the better.
    """
    testable = pd.DataFrame(0.0, list(rows.perturbed), list(rows.readouts))
    shuffled = _pairs(testable)[_PAIR].sample(frac=1, random_state=seed)
    networks = {label: network(_within(each, rows), top) for label, each in changes.items()}
    networks[RANDOM] = shuffled.head(top)
    chosen = {label: _marked(edges, shuffled, pairs) for label, edges in networks.items()}
    judged = judge(pd.concat(chosen.values()).drop_duplicates(_PAIR), rows)
    scores = [_scores(each.merge(judged, on=_PAIR), label, seed) for label, each in chosen.items()]
    return pd.concat(scores, ignore_index=True)


def _within(changes: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    return changes.loc[[target(name) in rows.perturbed for name in changes.index], changes.columns.isin(rows.readouts)]


def _marked(edges: pd.DataFrame, shuffled: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """The edges, and the first of the shuffled pairs that are none: gene, readout, edge."""
    linked = pd.MultiIndex.from_frame(shuffled).isin(pd.MultiIndex.from_frame(edges[_PAIR]))
    return pd.concat([edges[_PAIR].assign(edge=True), shuffled[~linked].head(pairs).assign(edge=False)])


def _scores(judged: pd.DataFrame, label: str, seed: int) -> pd.DataFrame:
    """The metrics of one network's judged edges and other pairs, each a mean over the pairs it is about."""
    gene, genes = pd.factorize(judged['gene'])
    edge, true, distance = (jnp.asarray(judged[name].to_numpy(np.float32)) for name in ('edge', 'true', 'distance'))
    about = {
        'wasserstein': (distance * edge, edge),
        'precision': (true * edge, edge),
        'false_omission_rate': (true * (1 - edge), 1 - edge),
    }
    sums = cluster_sums(about, gene, len(genes))
    values, samples = _means(jax.tree.map(jnp.sum, sums)), bootstrap(_means, sums, seed)
    rows = []
    for metric in about:  # in this order; jax sorts by name
        number = sums[metric][1]
        low, high = interval(samples[metric], (number > 0).sum())
        numbers = {'number': int(number.sum()), 'genes': int((number > 0).sum())}
        score = {'value': float(values[metric]), 'low': float(low), 'high': float(high)}
        rows.append({'network': label, 'metric': metric, **score, **numbers})
    return pd.DataFrame(rows)


def _means(sums: Mapping[str, tuple[jax.Array, jax.Array]]) -> dict[str, jax.Array]:
    """Each metric's total over its number of pairs; NaN where there are none."""
    return {
        metric: jnp.where(number > 0, total / jnp.where(number > 0, number, 1), jnp.nan)
        for metric, (total, number) in sums.items()
    }
