import jax
import numpy as np
import pandas as pd
import pytest
from tables_for_tests import random_table, table

from perturbjax.analysis import probe
from perturbjax.analysis.probe import probe_sets
from perturbjax.errors import InputError
from perturbjax.screens.simulation import simulate

NAMES = [f'g{i:03}' for i in range(90)]


def planted(noise=0.5, sets=6, width=10):
    """Each set has a direction of its own; sets overlap."""
    rng = np.random.default_rng(0)
    member = rng.random((len(NAMES), sets)) < 0.25
    vectors = member @ rng.normal(size=(sets, width)) + noise * rng.normal(size=(len(NAMES), width))
    rows = [(f'set{j}', NAMES[i]) for i, j in zip(*np.nonzero(member))]
    return table(NAMES, vectors), pd.DataFrame(rows, columns=['set', 'gene'])


def test_planted_sets_are_found_and_noise_tells_nothing():
    there, sets = planted()
    found = probe_sets({'planted': there, 'noise': random_table(NAMES, 10)}, sets, permutations=20)
    overall = found.overall.set_index('source')
    assert overall.loc['planted', 'value'] > 0.9
    assert overall.loc['planted', 'told'] == 1
    assert overall.loc['noise', 'p'] > 0.05
    np.testing.assert_allclose(overall['null'], 0.5, atol=0.03)
    assert overall[['sets', 'genes']].values.tolist() == [[6, 90]] * 2
    assert found.sets['auroc'][:6].min() > 0.8
    assert found.sets['genes'][0] == (sets['set'] == 'set0').sum()


def test_scores_are_those_of_a_ridge_regression_without_the_fold():
    there, sets = planted(sets=2)
    members = probe._members(sets, np.array(NAMES, object), 5).to_numpy(float)
    test = probe._folds(90, 4, np.random.default_rng(0))
    assert sorted(test[test >= 0]) == list(range(90))
    values, fold = np.asarray(there.X, float), test[0]
    train = np.setdiff1d(np.arange(90), fold)
    x, y = values[train] - values[train].mean(axis=0), members[train] - members[train].mean(axis=0)
    size = np.linalg.svd(x, compute_uv=False)
    penalty = 2.0 * (size**4).sum() / (size**2).sum()
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(10), x.T @ y)
    scores = jax.jit(probe._held_out_scores)(values, members, fold, 2.0)
    expected = (values[fold] - values[train].mean(axis=0)) @ weights
    np.testing.assert_allclose(scores[fold >= 0], expected[fold >= 0], rtol=1e-3, atol=1e-5)


def test_auroc_compares_within_the_fold():
    """Three genes are there; the member scores 1 and the others 1 and 0: one and a half of two pairs in order."""
    scores = np.array([[1.0], [1.0], [0.0], [-np.inf]])
    inside, there = np.array([[1.0], [0], [0], [0]]), np.array([[True], [True], [True], [False]])
    in_order, pairs = jax.jit(probe._pairs_in_order)(scores, inside, there)
    assert (in_order[0], pairs[0]) == (1.5, 2)


def test_neither_scale_nor_basis_nor_redundant_columns_matter():
    there, sets = planted()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0]
    other = table(NAMES, np.tile(7 * there.X @ turn + 3, (1, 12)))  # now more columns than genes
    found = probe_sets({'one': there, 'other': other}, sets, permutations=2).sets
    np.testing.assert_allclose(found['auroc'][:6], found['auroc'][6:], atol=5e-3)


def test_the_programs_of_simulated_readouts_are_told_by_their_changes():
    """A readout's vector is how strongly every perturbation moves it; the sets are the simulation's programs."""
    truth = simulate(contexts=2, panels=1, targets=20, compounds=0, doubles=0, readouts=80, cells=1).truth
    changes = truth.log_fold_change.reshape(-1, 80).T
    noisy = np.abs(changes + np.random.default_rng(0).normal(0, changes.std() / 3, changes.shape))
    sets = truth.membership.rename_axis('gene').rename('set').reset_index()
    found = probe_sets(table(list(truth.membership.index), noisy, 'readout'), sets, permutations=20).overall.iloc[0]
    assert found['value'] > 0.95
    assert found['null_high'] < 0.65
    assert found['sets'] == 8


def test_what_cannot_be_probed_is_told():
    there, sets = planted()
    with pytest.raises(InputError, match=r"none of their genes is in the table, such as 'G000'; did you mean 'g000'"):
        probe_sets(there, sets.assign(gene=sets['gene'].str.upper()))
    with pytest.raises(InputError, match=r'has 25 of the 90 genes; each needs 80 inside and outside, so lower'):
        probe_sets(there, sets, smallest=80)
    with pytest.raises(InputError, match='90 genes are too few for 50 folds'):
        probe_sets(there, sets, folds=50)
