"""Weights of profiles against values worked by hand, and what they must not look at."""

import dataclasses

import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens.screen import assemble
from perturbjax.screens.weights import LEAST, Profiles, check_rule, unweighted, weigh_each, weighted

FIELD = 'weights.fitting'


def profiles_of(values, cells=None, variance=None, on_target=None, context=None):
    values = np.array(values, float)
    return Profiles(
        'screen.h5ad',
        values,
        np.zeros(len(values), int) if context is None else np.array(context),
        None if cells is None else np.array(cells),
        None if variance is None else np.array(variance, float),
        np.full((len(values), 1), np.nan) if on_target is None else np.array(on_target, float),
    )


def weights(rule, profiles, known=None):
    every = np.ones(len(profiles.values), bool)
    (found,) = weigh_each(rule, [profiles], [every if known is None else np.array(known)], FIELD)
    return found


def test_numbers_of_cells_alone_count_half_at_their_median():
    found = weights('cells', profiles_of([[0.0], [1], [2]], [10, 20, 60]))
    np.testing.assert_allclose(found, np.array([1 / 3, 1 / 2, 3 / 4]) / (19 / 36))


def test_weights_are_those_of_a_random_effects_model():
    """Means 0, 3, 6 have the variance 9 between them; rows of 4, 2 and 1 cells have the variance 2."""
    profiles = profiles_of([[0.0], [3], [6]], [4, 2, 1], [[2.5], [0.5], [np.nan]])
    pooled = (3 * 2.5 + 1 * 0.5) / 4
    noise = pooled / np.array([4, 2, 1])
    between = (18 - 2 / 3 * noise.sum()) / 2
    expected = 1 / (between + noise)
    np.testing.assert_allclose(weights('cells', profiles), expected / expected.mean())
    own = np.array([(4 * pooled + 3 * 2.5) / 7 / 4, (4 * pooled + 1 * 0.5) / 5 / 2, pooled])
    expected = 1 / ((18 - 2 / 3 * own.sum()) / 2 + own)
    np.testing.assert_allclose(weights('replicates', profiles), expected / expected.mean())


def test_profiles_that_do_not_differ_count_by_their_noise_alone():
    profiles = profiles_of([[1.0, 1], [1, 1], [1, 1]], [2, 4, 6], np.ones((3, 2)))
    np.testing.assert_allclose(weights('cells', profiles), [0.5, 1, 1.5])
    without_noise = profiles_of([[1.0], [2]], [2, 4], [[0.0], [0.0]])
    np.testing.assert_allclose(weights('replicates', without_noise), [1, 1])
    nothing_at_all = profiles_of([[1.0], [1]], [2, 4], [[0.0], [0.0]])
    np.testing.assert_allclose(weights('replicates', nothing_at_all), [1, 1])


def test_the_variance_between_perturbations_is_found_again():
    """400 perturbations in two contexts with the variance 4 between them, and 9 between their 2 to 50 cells."""
    rng = np.random.default_rng(0)
    cells, context = rng.integers(2, 51, 400), np.arange(400) % 2
    values = 10 * context[:, None] + 2 * rng.normal(size=(400, 30)) + 3 * rng.normal(size=(400, 30)) / np.sqrt(
        cells[:, None]
    )  # fmt: skip
    variance = 9 * rng.chisquare((cells - 1)[:, None], (400, 30)) / (cells - 1)[:, None]
    expected = 1 / (4 + 9 / cells)
    for rule in ('cells', 'replicates'):
        found = weights(rule, profiles_of(values, cells, variance, context=context))
        np.testing.assert_allclose(found, expected / expected.mean(), rtol=0.08)


def test_on_target_changes_count_by_their_share_of_the_strongest():
    """Knock-downs of 2 and 4; a gain has the least share, and one that is not measured the mean."""
    changes = [[-4.0, np.nan], [-2, np.nan], [1, np.nan], [np.nan, np.nan], [-4, 1]]
    found = weights('on_target', profiles_of(np.zeros((5, 2)), on_target=changes), [True] * 4 + [False])
    strongest = np.quantile([4.0, 2, -1], 0.9)
    expected = np.array([1, 2 / strongest, 0.1, np.nan, 0.55])
    expected[3] = expected[:3].mean()
    np.testing.assert_allclose(found, expected / expected[:4].mean())


def test_activations_count_by_their_gains_and_no_change_at_all_by_nothing():
    rising = weights('on_target', profiles_of(np.zeros((3, 2)), on_target=[[1.0], [2], [4]]))
    falling = weights('on_target', profiles_of(np.zeros((3, 2)), on_target=[[-1.0], [-2], [-4]]))
    np.testing.assert_array_equal(rising, falling)
    assert (np.diff(rising) > 0).all()
    np.testing.assert_array_equal(weights('on_target', profiles_of(np.zeros((2, 2)), on_target=[[0.0], [0]])), 1)


def test_no_weight_is_too_small_to_count():
    found = weights('cells', profiles_of(np.ones((3, 1)), [2, 100_000, 100_000], [[1.0], [1], [1]]))
    assert found.min() > 0.99 * LEAST
    np.testing.assert_allclose(found.mean(), 1)


@pytest.fixture(scope='module')
def compendium():
    """Two screens with cells and errors; in the first, g0 and g1 are readouts too."""
    rng = np.random.default_rng(0)

    def screen(name, readouts):
        rows = [(c, p, rng.normal(size=3)) for c in 'ab' for p in ('control', 'CRISPRi_g0', 'CRISPRi_g1', 'CRISPRi_g2')]
        made = measurements(rows, readouts, name)
        cells = rng.integers(2, 40, 8).astype(np.int32)
        return dataclasses.replace(made, cells=cells, standard_error=rng.uniform(0.1, 1, (8, 3)).astype(np.float32))

    return assemble([screen('first', ['g0', 'g1', 'x']), screen('second', ['x', 'y', 'g2'])], ['log1p'] * 2)


@pytest.mark.parametrize('rule', ['cells', 'replicates', 'on_target'])
def test_training_perturbations_have_the_mean_1_and_control_too(compendium, rule):
    training = tuple(np.array([True, True, True, False, True, True, True, True]) for _ in compendium.screens)
    found = weighted(compendium, training, rule)
    for screen, mask in zip(found.screens, training, strict=True):
        assert screen.weight.dtype == screen.values.dtype
        np.testing.assert_array_equal(screen.weight[screen.is_control], 1)
        np.testing.assert_allclose(screen.weight[mask & ~screen.is_control].mean(), 1, rtol=1e-6)
        assert len(set(screen.weight)) > 1
    assert all(screen.weight is None for screen in unweighted(found).screens)


@pytest.mark.parametrize('rule', ['cells', 'replicates', 'on_target'])
def test_nothing_of_held_out_profiles_moves_the_weights_of_others(compendium, rule):
    training = tuple(np.arange(8) != 2 for _ in compendium.screens)
    first, second = compendium.screens
    values, cells, error = first.values.copy(), first.cells.copy(), first.standard_error.copy()
    values[2], cells[2], error[2] = 100, 9999, 50
    other = dataclasses.replace(first, values=values, cells=cells, standard_error=error)
    moved = dataclasses.replace(compendium, screens=(other, second))
    before, after = (weighted(each, training, rule).screens[0].weight for each in (compendium, moved))
    np.testing.assert_array_equal(np.delete(before, 2), np.delete(after, 2))
    assert before[2] != after[2]


def test_the_on_target_change_is_that_of_the_own_readout_from_the_control_of_the_context(compendium):
    training = tuple(np.ones(8, bool) for _ in compendium.screens)
    screen = weighted(compendium, training, 'on_target').screens[0]
    change = [screen.values[4 * c + 1 + g, g] - screen.values[4 * c, g] for c in (0, 1) for g in (0, 1)]
    direction = np.sign(np.median(change))
    share = np.clip(direction * np.array(change) / np.quantile(direction * np.array(change), 0.9), 0.1, 1)
    expected = np.array([share[0], share[1], share.mean(), share[2], share[3], share.mean()])
    np.testing.assert_allclose(screen.weight[~screen.is_control], expected / expected.mean(), rtol=1e-5)


def test_without_a_rule_or_training_perturbations_nothing_is_weighed(compendium):
    nothing = tuple(np.zeros(8, bool) for _ in compendium.screens)
    assert weighted(compendium, nothing, '') is compendium
    assert unweighted(compendium) is compendium
    np.testing.assert_array_equal(weighted(compendium, nothing, 'cells').screens[0].weight, 1)


def test_what_a_rule_lacks_is_told(compendium):
    one_row = profiles_of([[0.0], [1]], [1, 1])
    for rule, profiles, sentence in (
        ('cells', profiles_of([[0.0], [1]]), 'screen.h5ad: weights.fitting=.cells. needs the number of rows behind'),
        ('replicates', one_row, 'screen.h5ad: weights.fitting=.replicates. needs the number of rows behind each'),
        (
            'replicates',
            profiles_of([[0.0], [1]], [2, 3]),
            "needs the spread of the rows .* set weights.fitting='cells'",
        ),
        ('on_target', one_row, "'screen.h5ad': weights.fitting=.on_target. needs perturbations whose target is among"),
    ):
        with pytest.raises(InputError, match=sentence):
            weights(rule, profiles)
    with pytest.raises(InputError, match="weights.scores: no such weights 'cell'; did you mean 'cells'"):
        check_rule('cell', 'weights.scores')


def test_a_screen_without_targets_counts_alike_beside_one_that_has_some():
    without, within = profiles_of(np.zeros((2, 1))), profiles_of(np.zeros((2, 1)), on_target=[[-1.0], [-2]])
    found = weigh_each('on_target', [without, within], [np.ones(2, bool)] * 2, FIELD)
    np.testing.assert_array_equal(found[0], 1)
    assert found[1][0] < 1 < found[1][1]
