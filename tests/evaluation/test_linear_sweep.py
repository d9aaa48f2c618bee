import functools
import itertools
import json

import jax
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import golden_profiles, measurements, query_of

from perturbjax.errors import InputError
from perturbjax.evaluation.linear_sweep import linear_sweep, score_linear_sweep
from perturbjax.models import linear, mean
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split
from perturbjax.screens.vocabulary import combine

RANKS, RIDGES = (2, 6), (0.1, 3.0)
# One of the four, fitted by itself; both tests look at it, so that it is compiled once.
MEAN, ALONE = mean(), linear(6, 0.1)


@pytest.fixture(scope='module')
def compendium():
    """Two screens with other panels; two contexts in one; holes, a double, and genes that are no readouts."""
    rng = np.random.default_rng(0)
    genes = [f'g{i}' for i in range(14)]
    names = ['control', *genes[:11], 'other', 'g0+g1', 'g2+g3']
    first = [(context, name, rng.normal(size=12)) for context in 'ab' for name in names]
    second = [('c', name, rng.normal(size=9)) for name in names[:-1]]
    first[4][2][3] = first[7][2][:] = np.nan
    panels = measurements(first, genes[:12], 'first'), measurements(second, genes[5:], 'second')
    return assemble(panels, ['log1p', 'log1p'])


@pytest.fixture(scope='module')
def splits(compendium):
    return [make_split(compendium, 'unseen_single', seed, test=0.3, validation=0.1) for seed in (3, 4)]


@functools.cache
def compiled(model):
    return jax.jit(model.fit), jax.jit(model.predict)


def errors_by_hand(model, compendium, split):
    """Truth minus prediction of every test profile, by screen."""
    fit, predict = compiled(model)
    params = fit(compendium, split.mask(TRAIN))
    return [
        screen.values[mask] - np.asarray(predict(params, query_of(screen)))[mask]
        for screen, mask in zip(compendium.screens, split.mask(TEST))
    ]


def on_the_same_values(parts, others):
    """The first where the others are not NaN."""
    return [np.where(np.isnan(other), np.nan, part) for part, other in zip(parts, others)]


def l2(parts):
    """Of every profile, screen after screen; NaN where nothing is compared."""
    lengths = [np.where(np.isnan(d).all(1), np.nan, np.sqrt(np.nansum(d**2, axis=1))) for d in parts]
    return np.concatenate(lengths)


def masks_and_places(splits):
    """The training masks, and where the test profiles stand, padded to the longest."""
    training = tuple(np.stack(masks) for masks in zip(*(split.mask(TRAIN) for split in splits)))
    places = [[np.flatnonzero(mask) for mask in masks] for masks in zip(*(split.mask(TEST) for split in splits))]
    rows = [itertools.zip_longest(*each, fillvalue=-1) for each in places]
    return training, tuple(np.array([*each]).T for each in rows)


def test_the_grid_equals_a_fit_by_itself(compendium, splits):
    training, tested = masks_and_places(splits)
    grid = linear_sweep(compendium, training, tested, RANKS, RIDGES)
    there = np.concatenate(tested, axis=1) >= 0
    assert grid.linear.shape == (2, 2, 2, there.shape[1])
    assert np.isnan(np.asarray(grid.linear)[np.broadcast_to(~there[:, None, None], grid.linear.shape)]).all()
    for s, split in enumerate(splits):
        alone = errors_by_hand(ALONE, compendium, split)
        np.testing.assert_allclose(grid.linear[s, 1, 0][there[s]], l2(alone), rtol=1e-4)
        baseline = on_the_same_values(errors_by_hand(MEAN, compendium, split), alone)
        np.testing.assert_allclose(grid.mean[s][there[s]], l2(baseline), rtol=1e-5)


def test_the_table_holds_means_over_what_is_answered(compendium, splits):
    table = score_linear_sweep(compendium, splits, RANKS, RIDGES).set_index(['split', 'rank', 'ridge'])
    assert len(table) == 8
    for split in splits:
        alone = errors_by_hand(ALONE, compendium, split)
        baseline = on_the_same_values(errors_by_hand(MEAN, compendium, split), alone)
        assert np.isnan(l2(alone)).any()
        row = table.loc[(split.seed, RANKS[1], RIDGES[0])]
        assert row['l2'] == pytest.approx(np.nanmean(l2(alone)), rel=1e-4)
        assert row['ratio'] == pytest.approx(np.nanmean(l2(alone)) / np.nanmean(l2(baseline)), rel=1e-4)


def test_the_grid_holds_the_errors_of_the_r_script(golden):
    """The published tables, two settings of one split; rank 4 is cut from 10."""
    conditions = json.loads((golden / 'split.json').read_text())
    screen = golden_profiles(golden / 'pseudobulk.tsv', 'screen', np.float32)
    compendium = assemble([screen], ['log1p'])
    names = compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation)
    trains = {combine(part for part in name.split('+') if part != 'ctrl') for name in conditions['train']}
    training = np.array([name in trains for name in names])
    tested = np.flatnonzero(~training)
    grid = linear_sweep(compendium, (training[None],), (tested[None],), (10, 4), (0.1, 1.0))
    for file, place in (('linear_training_k10', (0, 0, 0)), ('linear_training_k4_ridge1', (0, 1, 1))):
        expected = pd.read_csv(golden / f'{file}.tsv', sep='\t', index_col=0)
        known = [list(screen.readout).index(gene) for gene in expected.index]
        truth = compendium.screens[0].values[:, known].T
        np.testing.assert_allclose(grid.linear[place], l2([(truth - expected.to_numpy()).T])[tested], rtol=2e-4)


@pytest.fixture(scope='module')
def strangers():
    """A screen whose perturbed genes are no readouts."""
    rows = [('a', name, [i, 1.0, i**2]) for i, name in enumerate(['control', *'pqrst'])]
    return assemble([measurements(rows, ['x', 'y', 'z'])], ['log1p'])


def test_a_screen_whose_genes_are_no_readouts_has_no_answer(strangers):
    table = score_linear_sweep(strangers, [make_split(strangers, 'unseen_single', 0)], [2], [0.1])
    assert table[['l2', 'ratio']].isna().all(axis=None)


def test_a_random_embedding_is_that_of_the_highest_rank(strangers):
    split, settings = make_split(strangers, 'unseen_single', 0), {'perturbation_embedding': 'random', 'seed': 5}
    grid = linear_sweep(strangers, *masks_and_places([split]), [1, 2], [0.5], **settings)
    alone = l2(errors_by_hand(linear(2, 0.5, **settings), strangers, split))
    np.testing.assert_allclose(grid.linear[0, 1, 0], alone, rtol=1e-4)


@pytest.mark.parametrize(
    ('ranks', 'ridges', 'message'),
    [
        ([0, 1], [0.1], r'linear_sweep.ranks: \[0, 1\] must be whole numbers above 0'),
        ([1.5], [0.1], r'ranks: \[1.5\] must be whole numbers'),
        ([], [0.1], r'ranks: \[\] must be whole numbers above 0, at least one'),
        ([1], [0.1, 0.0], r'ridges: \[0.1, 0.0\] must be numbers above 0'),
        ([1], ['0.1'], r"ridges: \['0.1'\] must be numbers"),
    ],
)
def test_bad_settings_are_told(compendium, splits, ranks, ridges, message):
    with pytest.raises(InputError, match=message):
        score_linear_sweep(compendium, splits, ranks, ridges)
