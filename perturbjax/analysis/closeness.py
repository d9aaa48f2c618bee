"""Do pairs of genes of one complex or pathway lie closer than other pairs?"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null, swap_edges
from perturbjax.analysis.vectors import Tables, by_source, genes, stack
from perturbjax.errors import InputError, check_range, did_you_mean

_ROUNDS = 20  # of edge swaps between two draws: each edge is offered 20 of them


def pair_closeness(
    tables: Tables,
    pairs: pd.DataFrame,
    false_positive_rate: float = 0.05,
    replicates: int = 500,
    swaps: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """AUROC and recall of known pairs by cosine among all pairs of genes, each beside its null.

    Compared are the genes that have some known pair: of the others nothing is known, so their pairs
    are no negatives. AUROC is the chance that a known pair lies closer than one that is not known;
    recall is the share of known pairs closer than all but `false_positive_rate` of the others.
    `low` and `high` are a 95% bootstrap interval over genes: a pair counts as often as both of its
    genes were drawn, since the pairs of a gene share its vector. The null swaps edges of the graph of
    known pairs, so every gene keeps its number of them: well-studied genes that lie close to
    everything do not pass for biology.

    Args:
      tables: perturbations or readouts by `axis_table`, or several by label.
      pairs: columns `first` and `second`, as `read_pairs` gives them.
      false_positive_rate: of the recall.
      replicates: of the bootstrap.
      swaps: draws of the null.
      seed: of both.

    Returns:
      Columns source, measure, value, low, high, null, null_low, null_high, p, pairs, others, genes.

    Raises:
      InputError: no known pair has both genes in the tables, or every pair is known.
    """
    check_range('analysis', 1, replicates=replicates, swaps=swaps)
    if not 0 < false_positive_rate < 1:
        raise InputError(f'analysis.false_positive_rate: {false_positive_rate} must be above 0 and below 1.')
    check_columns(pairs, ('first', 'second'), 'pairs')
    vectors = by_source(tables, genes, 'genes')
    names, edges = _known(pairs, next(iter(vectors.values())).names)
    rng = np.random.default_rng(seed)
    nulls, draw = [], edges
    for _ in range(swaps):
        draw = swap_edges(draw, _ROUNDS, rng)
        nulls.append(draw)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), replicates)
    chosen = {source: values[np.isin(there, names)] for source, (there, values) in vectors.items()}
    measured = {
        source: _measured(values @ values.T, edges, nulls, drawn, false_positive_rate)
        for source, values in chosen.items()
    }
    counts = {'pairs': len(edges), 'others': _pairs_of(len(names)) - len(edges), 'genes': len(names)}
    return stack(measured).assign(**counts)


def _known(pairs: pd.DataFrame, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The genes with a known pair among `names`, and these pairs as places among them `[E, 2]`."""
    here = pairs[pairs['first'].isin(names) & pairs['second'].isin(names) & (pairs['first'] != pairs['second'])]
    if here.empty:
        wanted = sorted({*pairs['first'], *pairs['second']} - set(names)) or ['']
        raise InputError(
            f'pairs: none of the {len(pairs)} known pairs has both genes in the table, {wanted[0]!r} is not; '
            f'{did_you_mean(wanted[0], names)}'
        )
    kept = np.array(sorted({*here['first'], *here['second']}), object)
    places = [pd.Index(kept).get_indexer(here[column]) for column in ('first', 'second')]
    edges = np.unique(np.sort(np.stack(places, axis=1), axis=1), axis=0)
    if len(edges) == _pairs_of(len(kept)):
        raise InputError(f'pairs: all pairs of the {len(kept)} genes are known ones, so there are no others.')
    return kept, edges


def _pairs_of(n: int) -> int:
    return n * (n - 1) // 2


def _measured(
    cosine: np.ndarray, edges: np.ndarray, nulls: list[np.ndarray], drawn: np.ndarray, rate: float
) -> pd.DataFrame:
    """AUROC and recall with their intervals and nulls.

    `cosine` is `[n, n]`, `edges` and each of `nulls` known pairs `[E, 2]`, `drawn` how often each
    replicate has each gene, `[replicates, n]`.
    """
    n = len(cosine)
    first, second = np.triu_indices(n, 1)
    values = cosine[first, second]
    order = np.argsort(values, kind='stable')
    group = rankdata(values, 'dense')[order].astype(int) - 1
    place = np.empty(len(order), int)  # where each pair stands in that order
    place[order] = np.arange(len(order))

    def judged(known: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        i, j = known.T
        positive = np.zeros(len(order), bool)
        positive[place[i * (2 * n - i - 1) // 2 + j - i - 1]] = True
        weights = np.ones(len(order)) if weight is None else (weight[first] * weight[second])[order]
        return _auroc_and_recall(group, positive, weights, rate)

    null = np.array([judged(each) for each in nulls])
    low, high = np.nanquantile([judged(edges, weight) for weight in drawn], (0.025, 0.975), axis=0)
    value = beside_null(judged(edges), null)
    measures = {'measure': ['auroc', f'recall@fpr{rate:g}'], 'value': value.pop('value'), 'low': low, 'high': high}
    return pd.DataFrame(measures | value)


def _auroc_and_recall(group: np.ndarray, known: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """Of pairs sorted by cosine, `group` numbering its distinct values; NaN where all or none are known."""
    positive, negative = np.bincount(group, weight * known), np.bincount(group, weight * ~known)
    positives, negatives = positive.sum(), negative.sum()
    if not positives or not negatives:
        return np.full(2, np.nan)
    below = np.cumsum(negative) - negative
    auroc = (positive * (below + negative / 2)).sum() / (positives * negatives)
    allowed = negatives - below <= rate * negatives  # the others at this cosine or closer
    return np.array([auroc, positive[allowed].sum() / positives])
