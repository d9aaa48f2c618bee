"""Gene networks from predicted or measured changes, scored on cells with the two metrics of CausalBench.

An edge A -> B says that readout B changes when gene A is perturbed. Edges are ranked by the absolute change
on the scale of the screens. (Dividing each readout by its spread would favour noisy readouts that hardly
change. If the readouts have different units, divide the changes before you pass them here.)

Source: CausalBench, Chevalley et al. 2022, `statistical_evaluation.py`. One difference: CausalBench counts a
pair as linked if any path joins it; here only a direct edge links a pair, because in a dense network paths
join all pairs.
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
from perturbjax.screens.blocks import whole
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL, parts, perturbation_type, target_gene

SIGNIFICANT = 0.05
# A pair is tested only if control and the gene both have at least this many rows.
LEAST_ROWS = 2
RANDOM = 'random'

_PAIR = ['gene', 'readout']


class Rows(NamedTuple):
    """The single cells (or wells) of one context, on which edges are tested.

    Attributes:
      control: values of the control rows `[N, M]`, dense (NaN = not measured) or CSR.
      perturbed: the values of the perturbed rows in the same form, by gene.
      readouts: names `[M]`.
    """

    control: Any
    perturbed: Mapping[str, Any]
    readouts: tuple[str, ...]


def network(changes: pd.DataFrame, top: int) -> pd.DataFrame:
    """Returns the `top` edges with the largest absolute change, strongest first: columns gene, readout, change.

    Compounds and combinations are left out, and so is the effect of a gene on itself. If a gene has several
    perturbations, the one with the strongest change counts. There are fewer than `top` edges if there are
    fewer changes.

    Args:
      changes: changes from control, perturbations x readouts, as `complete` and `measured_changes` return them.
      top: number of edges.
    """
    pairs = _pairs(changes)
    strongest = pairs['change'].abs().sort_values(ascending=False, kind='stable').index
    return pairs.loc[strongest].drop_duplicates(_PAIR).head(top).reset_index(drop=True)


def _pairs(changes: pd.DataFrame) -> pd.DataFrame:
    """One row for each change that can be an edge; missing changes are left out."""
    single = changes[[is_single_gene(name) for name in changes.index]]
    genes, readouts = [target_gene(name) for name in single.index], single.columns.to_numpy(object)
    table = pd.DataFrame(
        {
            'gene': np.repeat(np.array(genes, object), len(readouts)),
            'readout': np.tile(readouts, len(genes)),
            'change': single.to_numpy(np.float64).ravel(),
        }
    )
    return table[(table['gene'] != table['readout']) & table['change'].notna()].reset_index(drop=True)


def is_single_gene(perturbation: str) -> bool:
    """Whether exactly one gene is perturbed: no compound and no combination."""
    return len(parts(perturbation)) == 1 and perturbation_type(perturbation) != 'Compound'


def rows_of(measurements: Measurements, context: str) -> Rows:
    """Groups the rows of a context by the gene that was perturbed; genes with fewer than 2 rows are left out.

    Args:
      measurements: rows that no model was trained on, on the same scale as the screens.
      context: its name.

    Raises:
      InputError: control has fewer than 2 rows, or every gene has.
    """
    here, values = measurements.context == context, whole(measurements.values, measurements.name)
    genes = np.array([target_gene(name) if is_single_gene(name) else '' for name in measurements.perturbation], object)
    names, counts = np.unique(genes[here & (genes != '')].astype(str), return_counts=True)
    control = here & (measurements.perturbation == CONTROL)
    if control.sum() < LEAST_ROWS or not (counts >= LEAST_ROWS).any():
        raise InputError(
            f'{measurements.name}: testing an edge takes several rows of control and of a perturbed gene, but in '
            f'{context!r} control has {control.sum()} and no gene has more than {max(counts, default=0)} '
            f'(contexts are {listed(sorted(set(measurements.context)))}); give single cells or wells, not averages.'
        )
    perturbed = {str(name): values[here & (genes == name)] for name in names[counts >= LEAST_ROWS]}
    return Rows(values[control], perturbed, tuple(map(str, measurements.readout)))


def judge(pairs: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Tests pairs (gene, readout) on the rows; pairs that the rows cannot test are left out.

    Returns:
      Columns gene, readout, distance and true. `distance` is the Wasserstein distance between the readout's
      values in control rows and in rows of the gene. `true` says whether a two-sided Mann-Whitney test finds
      that the two differ (p < 0.05).
    """
    column_of = pd.Series(range(len(rows.readouts)), rows.readouts)
    known = pairs[pairs['gene'].isin(rows.perturbed) & pairs['readout'].isin(column_of.index)]
    judged = [known[_PAIR].head(0).assign(distance=0.0, true=False)]
    for gene, group in known[_PAIR].groupby('gene', sort=False):
        columns = column_of[group['readout']].to_numpy()
        control, perturbed = (_dense(block[:, columns]) for block in (rows.control, rows.perturbed[str(gene)]))
        enough = np.minimum(*((~np.isnan(block)).sum(axis=0) for block in (control, perturbed))) >= LEAST_ROWS
        if enough.any():
            judged.append(group[enough].assign(**_differ(control[:, enough], perturbed[:, enough])))
    return pd.concat(judged, ignore_index=True)


def _dense(block: Any) -> np.ndarray:
    return np.asarray(block.toarray() if scipy.sparse.issparse(block) else block, np.float64)


def _differ(control: np.ndarray, perturbed: np.ndarray) -> dict[str, Any]:
    """The distance and the outcome of the test, for each column of two blocks of rows."""
    p = mannwhitneyu(control, perturbed, nan_policy='omit').pvalue
    columns = zip(control.T, perturbed.T, strict=True)
    distance = [wasserstein_distance(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in columns]
    return {'distance': distance, 'true': p < SIGNIFICANT}


def compare_networks(
    changes: Mapping[str, pd.DataFrame], rows: Rows, top: int = 1000, pairs: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Scores networks on measured rows, beside a network of as many random edges.

    Args:
      changes: changes by label, such as `{'lpm': complete(...), 'measured': measured_changes(...)}`.
      rows: the rows to test edges on. Only their genes and readouts can be in an edge.
      top: number of edges of each network.
      pairs: number of random pairs outside the network that are tested for the false omission rate.
      seed: seed of the random edges, the random pairs and the bootstrap.

    Returns:
      One row per network and metric, columns network, metric, value, low and high (95% interval, bootstrap over
      perturbed genes), number (of pairs tested) and genes. Metrics: `wasserstein`, the mean distance over
      edges, higher is better; `precision`, the share of edges that are true, higher is better;
      `false_omission_rate`, the share of pairs outside the network that are true, lower is better.
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
    return changes.loc[
        [target_gene(name) in rows.perturbed for name in changes.index], changes.columns.isin(rows.readouts)
    ]


def _marked(edges: pd.DataFrame, shuffled: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """The edges, and the first shuffled pairs that are not edges: columns gene, readout, edge."""
    linked = pd.MultiIndex.from_frame(shuffled).isin(pd.MultiIndex.from_frame(edges[_PAIR]))
    return pd.concat([edges[_PAIR].assign(edge=True), shuffled[~linked].head(pairs).assign(edge=False)])


def _scores(judged: pd.DataFrame, label: str, seed: int) -> pd.DataFrame:
    """The metrics of one network; each is a mean over its edges, or over the other pairs."""
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
    for metric in about:  # keeps this order, which jax.tree does not
        number = sums[metric][1]
        low, high = interval(samples[metric], (number > 0).sum())
        numbers = {'number': int(number.sum()), 'genes': int((number > 0).sum())}
        score = {'value': float(values[metric]), 'low': float(low), 'high': float(high)}
        rows.append({'network': label, 'metric': metric, **score, **numbers})
    return pd.DataFrame(rows)


def _means(sums: Mapping[str, tuple[jax.Array, jax.Array]]) -> dict[str, jax.Array]:
    """Each metric's total divided by its number of pairs; NaN if there are none."""
    return {
        metric: jnp.where(number > 0, total / jnp.where(number > 0, number, 1), jnp.nan)
        for metric, (total, number) in sums.items()
    }
