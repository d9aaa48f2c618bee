"""Are two genes of the same complex or pathway closer to each other than other pairs?"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null, swap_edges
from perturbjax.analysis.vectors import Tables, by_source, genes, stack_sources
from perturbjax.errors import InputError, check_range, did_you_mean

_ROUNDS = 20  # rounds of edge swaps for each draw of the null; every edge is in one swap per round


def pair_closeness(
    tables: Tables,
    pairs: pd.DataFrame,
    false_positive_rate: float = 0.05,
    bootstrap_samples: int = 500,
    swaps: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """AUROC and recall of known pairs among all pairs of genes, ranked by cosine, each beside its null.

    Only genes with a known pair are compared; nothing is known of the others, so their pairs are no negatives.
    AUROC is the probability that a known pair is closer than another pair. Recall is the share of known pairs
    that are closer than all but a share `false_positive_rate` of the other pairs. `low` and `high` are a 95%
    bootstrap interval over genes, because all pairs of a gene share its vector: a pair counts with the product
    of the times its two genes were drawn. The null swaps edges of the graph of known pairs, so every gene keeps
    its number of known pairs; otherwise well-studied genes that are close to everything would look like biology.

    Args:
      tables: a table of perturbations or readouts from `axis_table`, or several by label.
      pairs: columns `first` and `second`, as `read_gene_pairs` returns them.
      false_positive_rate: the false positive rate at which recall is computed.
      bootstrap_samples: number of bootstrap samples.
      swaps: number of draws of the null.
      seed: seed of the bootstrap and the null.

    Returns:
      Columns source, measure, value, low, high, null, null_low, null_high, p, pairs, others, genes.

    Raises:
      InputError: no known pair has both genes in the tables, or every pair is known.
    """
    check_range('analysis', 1, bootstrap_samples=bootstrap_samples, swaps=swaps)
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
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), bootstrap_samples)
    chosen = {source: values[np.isin(there, names)] for source, (there, values) in vectors.items()}
    measured = {
        source: _measured(values @ values.T, edges, nulls, drawn, false_positive_rate)
        for source, values in chosen.items()
    }
    counts = {'pairs': len(edges), 'others': _pairs_of(len(names)) - len(edges), 'genes': len(names)}
    return stack_sources(measured).assign(**counts)


def _known(pairs: pd.DataFrame, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The genes with a known pair among `names`, and the known pairs as positions in these genes, `[E, 2]`."""
    here = pairs[pairs['first'].isin(names) & pairs['second'].isin(names) & (pairs['first'] != pairs['second'])]
    if here.empty:
        wanted = sorted({*pairs['first'], *pairs['second']} - set(names)) or ['']
        raise InputError(
            f'pairs: none of the {len(pairs)} known pairs has both genes in the table; it lacks {wanted[0]!r}; '
            f'{did_you_mean(wanted[0], names)}'
        )
    kept = np.array(sorted({*here['first'], *here['second']}), object)
    positions = [pd.Index(kept).get_indexer(here[column]) for column in ('first', 'second')]
    edges = np.unique(np.sort(np.stack(positions, axis=1), axis=1), axis=0)
    if len(edges) == _pairs_of(len(kept)):
        raise InputError(f'pairs: all pairs of the {len(kept)} genes are known, so there are no others to compare.')
    return kept, edges


def _pairs_of(n: int) -> int:
    return n * (n - 1) // 2


def _measured(
    cosine: np.ndarray, edges: np.ndarray, nulls: list[np.ndarray], drawn: np.ndarray, rate: float
) -> pd.DataFrame:
    """AUROC and recall with their intervals and nulls.

    Args:
      cosine: between all genes, `[n, n]`.
      edges: the known pairs, `[E, 2]`.
      nulls: random pairs in the same form, one array for each draw.
      drawn: how often each bootstrap sample draws each gene, `[samples, n]`.
      rate: the false positive rate of the recall.
    """
    n = len(cosine)
    first, second = np.triu_indices(n, 1)
    values = cosine[first, second]
    order = np.argsort(values, kind='stable')
    group = rankdata(values, 'dense')[order].astype(int) - 1
    rank = np.empty(len(order), int)  # of each pair in that order
    rank[order] = np.arange(len(order))

    def judged(known: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        i, j = known.T
        positive = np.zeros(len(order), bool)
        positive[rank[i * (2 * n - i - 1) // 2 + j - i - 1]] = True
        weights = np.ones(len(order)) if weight is None else (weight[first] * weight[second])[order]
        return _auroc_and_recall(group, positive, weights, rate)

    null = np.array([judged(each) for each in nulls])
    low, high = np.nanquantile([judged(edges, weight) for weight in drawn], (0.025, 0.975), axis=0)
    value = beside_null(judged(edges), null)
    measures = {'measure': ['auroc', f'recall@fpr{rate:g}'], 'value': value.pop('value'), 'low': low, 'high': high}
    return pd.DataFrame(measures | value)


def _auroc_and_recall(group: np.ndarray, known: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """AUROC and recall of pairs sorted by cosine; `group` numbers its distinct values. NaN if all or none are known."""
    positive, negative = np.bincount(group, weight * known), np.bincount(group, weight * ~known)
    positives, negatives = positive.sum(), negative.sum()
    if not positives or not negatives:
        return np.full(2, np.nan)
    below = np.cumsum(negative) - negative
    auroc = (positive * (below + negative / 2)).sum() / (positives * negatives)
    allowed = negatives - below <= rate * negatives  # other pairs with at least this cosine
    return np.array([auroc, positive[allowed].sum() / positives])
