import itertools

import numpy as np
import pandas as pd
import pytest
from tables_for_tests import random_table, table

from perturbjax.analysis.closeness import pair_closeness
from perturbjax.analysis.vectors import genes
from perturbjax.errors import InputError

QUICK = {'bootstrap_samples': 50, 'swaps': 20}


def known(pairs):
    return pd.DataFrame(pairs, columns=['first', 'second'])


def complexes(n=60, size=5):
    """Genes in complexes of `size`: their names, pairs, and which complex each is of."""
    names, member = [f'g{i:02}' for i in range(n)], np.arange(n) // size
    pairs = [(a, b) for (a, i), (b, j) in itertools.combinations(zip(names, member), 2) if i == j]
    return names, known(pairs), member


def brute_force(there, pairs, rate):
    """AUROC and recall by comparing every known pair with every other."""
    names, vectors = genes(there)
    used = sorted({*pairs['first'], *pairs['second']} & set(names))
    cosine = {(a, b): vectors[list(names).index(a)] @ vectors[list(names).index(b)] for a in used for b in used}
    positive = {tuple(sorted(pair)) for pair in pairs.values.tolist() if set(pair) <= set(used)}
    every = list(itertools.combinations(used, 2))
    of_known = np.array([cosine[pair] for pair in every if pair in positive])
    of_others = np.array([cosine[pair] for pair in every if pair not in positive])
    auroc = ((of_known[:, None] > of_others) + 0.5 * (of_known[:, None] == of_others)).mean()
    thresholds = [t for t in cosine.values() if (of_others >= t).mean() <= rate]
    return auroc, (of_known >= min(thresholds, default=np.inf)).mean()


@pytest.mark.parametrize('seed', [0, 1])
def test_as_by_brute_force(seed):
    names = [f'g{i:02}' for i in range(14)]
    there = random_table(names, 3, seed)
    there.X[4] = there.X[5]  # ties
    pairs = known([names[i : i + 2] for i in range(0, 12, 2)] + [['g03', 'g00'], ['g00', 'g01'], ['g00', 'not there']])
    found = pair_closeness(there, pairs, 0.2, **QUICK)
    np.testing.assert_allclose(found['value'], brute_force(there, pairs, 0.2))
    assert found['measure'].tolist() == ['auroc', 'recall@fpr0.2']
    assert found[['pairs', 'others', 'genes']].iloc[0].tolist() == [7, 66 - 7, 12]


def test_planted_complexes_are_found_and_noise_is_not():
    names, pairs, member = complexes()
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(member.max() + 1, 8))[member] + 0.7 * rng.normal(size=(60, 8))
    tables = {'planted': table(names, planted), 'noise': random_table(names)}
    found = pair_closeness(tables, pairs, bootstrap_samples=200, swaps=50).set_index(['source', 'measure'])
    auroc = found.xs('auroc', level='measure')
    assert auroc.loc['planted', 'low'] > 0.8
    assert auroc.loc['planted', 'p'] == 1 / 51
    assert auroc.loc['noise', 'low'] < 0.5 < auroc.loc['noise', 'high']
    assert auroc.loc['noise', 'p'] > 0.05
    np.testing.assert_allclose(auroc['null'], 0.5, atol=0.05)
    recall = found.loc[('planted', 'recall@fpr0.05')]
    assert recall['low'] < recall['value'] < recall['high']
    assert recall['value'] > 3 * recall['null']


def test_hubs_that_lie_close_to_everything_are_no_biology():
    """Well-studied genes point one way and pair among themselves at random: the null has that AUROC too."""
    rng = np.random.default_rng(0)
    names = [f'g{i:02}' for i in range(60)]
    often = np.where(np.arange(60) < 20, 0.65, 0.05)
    pairs = known([(names[i], names[j]) for i, j in zip(*np.triu_indices(60, 1)) if rng.random() < often[i] * often[j]])
    vectors = rng.normal(size=(60, 8))
    vectors[:20, 0] += 4
    found = pair_closeness(table(names, vectors), pairs, **QUICK).iloc[0]
    assert found['p'] > 0.05
    assert found['null'] > 0.65


def test_the_bootstrap_draws_genes():
    """The interval of a measure over dependent pairs is wider than one that draws pairs would be."""
    names, pairs, member = complexes(40, 10)
    rng = np.random.default_rng(2)
    noisy = rng.normal(size=(4, 3))[member] + 2 * rng.normal(size=(40, 3))
    row = pair_closeness(table(names, noisy), pairs, bootstrap_samples=300, swaps=2).iloc[0]
    independent = np.sqrt(row['value'] * (1 - row['value']) / row['pairs'])
    assert row['high'] - row['low'] > 4 * independent


def test_the_same_seed_gives_the_same():
    names, pairs, _ = complexes(20)
    one, other = (pair_closeness(random_table(names), pairs, seed=3, **QUICK) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_what_cannot_be_judged_is_told():
    there = random_table(['STAT1', 'JAK2', 'STAT2'])
    with pytest.raises(InputError, match=r"none of the 1 known pairs has both genes in the table; it lacks 'Stat1'"):
        pair_closeness(there, known([('Stat1', 'JAK2')]))
    with pytest.raises(InputError, match='all pairs of the 2 genes are known, so there are no others'):
        pair_closeness(there, known([('STAT1', 'JAK2')]))
    with pytest.raises(InputError, match='false_positive_rate: 5 must be above 0 and below 1'):
        pair_closeness(there, known([('STAT1', 'JAK2')]), false_positive_rate=5)
