"""How alike contexts answer, against correlations computed one by one."""

import numpy as np
from screens_for_tests import measurements

from perturbjax.quality.agreement import agreement
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble

READOUTS = [f'r{i}' for i in range(6)]


def screens(rng):
    """Context b is in two panels; contexts a and b share two of the perturbations; values are missing."""
    one = [(context, name, rng.normal(size=6)) for context, names in (('a', 'ghk'), ('b', 'hkl')) for name in names]
    one += [('a', 'control', rng.normal(size=6)), ('c', 'm', rng.normal(size=6)), ('c', 'n', rng.normal(size=6))]
    one[0][2][2] = one[4][2][3] = np.nan
    other = [('b', name, rng.normal(size=5)) for name in 'gh']
    return [measurements(one, READOUTS, 'one'), measurements(other, READOUTS[:5], 'two')]


def by_hand(here, there):
    """Correlations of what sets perturbations apart; both are name -> values, NaN = not measured."""
    found = []
    for name in here.keys() & there.keys():
        one, other = (each[name] - np.nanmean(np.stack([*each.values()]), axis=0) for each in (here, there))
        n = min(len(one), len(other))
        one, other = one[:n], other[:n]
        known = ~np.isnan(one + other)
        found.append(np.corrcoef(one[known], other[known])[0, 1])
    return found


def named(screen, context):
    chosen = (screen.context == context) & (screen.perturbation != 'control')
    return dict(zip(screen.perturbation[chosen], screen.values[chosen].astype(float)))


def test_it_is_the_median_over_shared_perturbations_and_panels():
    one, other = screens(np.random.default_rng(0))
    table = agreement(assemble([one, other], ['z-score'] * 2))
    expected = by_hand(named(one, 'a'), named(one, 'b')) + by_hand(named(one, 'a'), named(other, 'b'))
    assert len(expected) == 4
    np.testing.assert_allclose(table.loc['a', 'b'], np.median(expected), rtol=1e-5)
    assert table.loc['b', 'a'] == table.loc['a', 'b']


def test_it_is_not_known_where_nothing_is_shared_or_repeated():
    table = agreement(assemble(screens(np.random.default_rng(0)), ['z-score'] * 2))
    assert np.isnan(table.loc['a', 'c'])
    assert np.isnan(np.diag(table)).all()


def test_what_all_perturbations_do_counts_for_nothing():
    """Both contexts answer to everything in one way, and to each perturbation in opposite ways."""
    rng = np.random.default_rng(0)
    common, apart = 100 * rng.normal(size=6), rng.normal(size=(3, 6))
    rows = [(c, name, common + sign * each) for c, sign in (('a', 1), ('b', -1)) for name, each in zip('ghk', apart)]
    table = agreement(assemble([measurements(rows, READOUTS, dtype=np.float64)], ['z-score']))
    np.testing.assert_allclose(table.loc['a', 'b'], -1, atol=1e-6)


def test_the_diagonal_is_what_a_repeat_would_reach():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 6))
    rows = [('a', name, each + 0.3 * rng.normal(size=6)) for name, each in zip('ghkl', truth) for _ in range(10)]
    profiles = average(measurements(rows, READOUTS))
    halves = [{name: half[i] for i, name in enumerate(profiles.perturbation)} for half in profiles.halves]
    repeat = agreement(assemble([profiles], ['z-score'])).loc['a', 'a']
    r = np.median(by_hand(*halves))
    np.testing.assert_allclose(repeat, 2 * r / (1 + r), rtol=1e-5)
    again = [('a', name, each + 0.3 * rng.normal(size=6)) for name, each in zip('ghkl', truth) for _ in range(10)]
    once_more = average(measurements(again, READOUTS))
    np.testing.assert_allclose(repeat, np.median(by_hand(named(profiles, 'a'), named(once_more, 'a'))), atol=0.03)


def test_too_few_readouts_of_too_few_perturbations_say_nothing():
    rows = [(context, name, (i, i * i)) for context in 'ab' for i, name in enumerate('gh')]
    assert agreement(assemble([measurements(rows, ['x', 'y'])], ['z-score'])).isna().to_numpy().all()
