"""The bootstrap against plain resampling, how often its interval holds the truth, and paired tests against scipy."""

import functools
import itertools
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.evaluation.statistics import (
    LEAST_CLUSTERS,
    MOST_EXACT,
    bootstrap,
    cluster_sums,
    draw,
    holm,
    interval,
    paired_test,
    signed_rank,
)

NAN = np.nan


def ratio(sums):
    return sums['total'] / sums['count']


def make(clusters=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        'total': rng.normal(size=(clusters, 2)).astype(np.float32),
        'count': rng.integers(1, 4, (clusters, 2)).astype(np.float32),
    }


@functools.partial(jax.jit, static_argnums=(1, 2))
def draws(seed, samples, clusters):
    """The weights of the first samples of a bootstrap."""
    key = jax.random.key(seed)
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i), clusters))(jnp.arange(samples))


def test_cluster_sums_by_hand():
    profiles = {'a': jnp.array([1.0, 2.0, 3.0]), 'b': jnp.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])}
    sums = cluster_sums(profiles, jnp.array([1, 0, 1]), 2)
    np.testing.assert_array_equal(sums['a'], [2, 4])
    np.testing.assert_array_equal(sums['b'], [[0, 1], [6, 5]])


def test_a_draw_is_as_large_as_the_sample():
    weights = draws(0, 2000, 7)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.1)  # multinomial: n p (1 - p)


def test_bootstrap_is_plain_resampling():
    sums, samples = make(), 70
    found = bootstrap(ratio, sums, seed=3, bootstrap_samples=samples)
    for row, weights in zip(np.asarray(found), np.asarray(draws(3, samples, 12)).astype(int)):
        resampled = np.repeat(np.arange(12), weights)
        expected = sums['total'][resampled].sum(axis=0) / sums['count'][resampled].sum(axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)
    low, high = interval(found, jnp.full(2, 12))
    np.testing.assert_allclose(low, np.percentile(found, 2.5, axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(high, np.percentile(found, 97.5, axis=0), rtol=1e-4, atol=1e-6)


def test_the_seed_decides():
    few, more = (bootstrap(ratio, make(), seed=1, bootstrap_samples=n) for n in (64, 70))
    np.testing.assert_allclose(few, more[:64], rtol=1e-6)
    assert not np.allclose(more, bootstrap(ratio, make(), seed=2, bootstrap_samples=70))


def test_one_cluster_tells_nothing_of_the_spread():
    samples = bootstrap(ratio, make(clusters=1), bootstrap_samples=64)
    assert np.isfinite(samples).all()
    assert all(np.isnan(end).all() for end in interval(samples, jnp.ones(2)))


def test_undefined_replicates_are_left_out_and_undefined_statistics_stay():
    samples = jnp.array([[1.0, jnp.nan], [jnp.nan, jnp.nan], [3.0, jnp.nan]])
    low, high = interval(samples, jnp.array([2, 2]))
    np.testing.assert_allclose(low, [1.05, np.nan])
    np.testing.assert_allclose(high, [2.95, np.nan])


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    clusters, trials = 60, 200
    values = np.random.default_rng(0).normal(2, 1, (clusters, trials)).astype(np.float32)
    sums = {'total': values, 'count': np.ones_like(values)}
    low, high = interval(bootstrap(ratio, sums, bootstrap_samples=512), jnp.full(trials, clusters))
    assert 0.89 < ((low < 2) & (high > 2)).mean() < 0.99


def test_clusters_and_not_profiles_are_drawn():
    # Ten copies of every profile are no more evidence than one.
    sums = make()
    profiles = {name: np.tile(values, (10, 1)) for name, values in sums.items()}
    copied = cluster_sums(profiles, np.tile(np.arange(12), 10), 12)
    once = bootstrap(ratio, sums, bootstrap_samples=64)
    np.testing.assert_allclose(bootstrap(ratio, copied, bootstrap_samples=64), once, rtol=1e-5, atol=1e-6)


def test_memory_is_bounded():
    # 10 models x 20 metrics; the weights of 10,000 samples alone would take 0.8 GB.
    sums = {name: np.ones((10_000, 10, 20), np.float32) for name in ('total', 'count')}
    tracemalloc.start()
    bootstrap(ratio, sums, 0, 128)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_paired_tests_are_wilcoxons_of_clusters():
    rng = np.random.default_rng(0)
    differences, cluster = rng.normal(0.3, 1, (40, 2, 3)), rng.integers(0, 15, 40)
    differences[rng.random(differences.shape) < 0.1] = NAN
    found = paired_test(differences, cluster)
    assert found.shape == (2, 3)
    for position in np.ndindex(2, 3):
        columns = [differences[cluster == each][(slice(None), *position)] for each in np.unique(cluster)]
        means = [column[~np.isnan(column)].mean() for column in columns if not np.isnan(column).all()]
        assert found[position] == pytest.approx(scipy.stats.wilcoxon(means).pvalue)


def test_paired_test_by_hand():
    # Five differences of one sign: of the 32 ways to give them signs, two are as far out.
    differences = np.array([1.0, 2, 3, 4, 5])[:, None]
    assert paired_test(differences, np.arange(5)) == pytest.approx(2 / 32)
    assert paired_test(-7 * differences, np.arange(5)) == pytest.approx(2 / 32)
    assert paired_test(np.repeat(differences, 10, axis=0), np.repeat(np.arange(5), 10)) == pytest.approx(2 / 32)


@pytest.mark.parametrize('seed', range(4))
def test_ties_are_exact_by_all_signs(seed):
    # Whole numbers from 1 to 4, so that nearly all of them are tied.
    differences = np.random.default_rng(seed).choice([-3, -2, -1, 1, 2, 4], 9).astype(float)
    ranks = scipy.stats.rankdata(np.abs(differences))
    sums = np.array([ranks @ np.array(signs) for signs in itertools.product([0, 1], repeat=9)])
    own = ranks[differences > 0].sum()
    expected = min(1, 2 * min((sums <= own).mean(), (sums >= own).mean()))
    assert signed_rank(differences) == pytest.approx(expected, abs=1e-12)


def test_the_approximation_is_near_the_exact_value():
    # One more difference than are counted exactly; the shift goes from no evidence to a lot.
    for shift in np.linspace(0, 0.8, 9):
        differences = np.random.default_rng(1).normal(shift, 1, MOST_EXACT + 1)
        exact = scipy.stats.wilcoxon(differences, method='exact').pvalue
        assert signed_rank(differences) == pytest.approx(exact, abs=1e-4)
    tied = np.round(np.random.default_rng(2).normal(0.2, 1, 80), 1)
    expected = scipy.stats.wilcoxon(tied[tied != 0], correction=True, method='asymptotic').pvalue
    assert signed_rank(tied[tied != 0]) == pytest.approx(expected, abs=1e-3)


def test_six_clusters_are_the_fewest_that_can_show_a_difference():
    assert signed_rank(np.arange(1.0, LEAST_CLUSTERS + 1)) < 0.05 < signed_rank(np.arange(1.0, LEAST_CLUSTERS))


def test_no_difference_is_no_evidence():
    differences = np.array([[1.0, 0, NAN, 1e-8], [2, 0, NAN, 1], [3, 0, NAN, 2], [0, 0, NAN, 4]])
    found = paired_test(differences, np.arange(4))
    assert found[0] == pytest.approx(2 / 8)  # of the three that differ
    assert np.isnan(found[1:3]).all()
    assert found[3] == pytest.approx(2 / 8)  # the first is but rounding


def test_p_values_are_uniform_where_nothing_differs():
    differences = np.random.default_rng(0).normal(size=(25, 400))
    p = paired_test(differences, np.arange(25))
    assert scipy.stats.kstest(p, 'uniform').pvalue > 0.01


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.01, NAN, 0.04, 0.03, NAN])), [0.03, NAN, 0.06, 0.06, NAN])
    np.testing.assert_allclose(holm(np.array([0.5, 0.7])), [1, 1])
    assert np.isnan(holm(np.array([NAN, NAN]))).all()
    np.testing.assert_allclose(holm(np.array([0.2])), [0.2])


@settings(max_examples=30)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(values):
    p, level = np.array(values), 0.05
    rejected, known = np.zeros(len(p), bool), np.flatnonzero(~np.isnan(p))
    for step, position in enumerate(known[np.argsort(p[known])]):
        if p[position] * (len(known) - step) > level:
            break
        rejected[position] = True
    corrected = holm(p)
    np.testing.assert_array_equal(corrected <= level, rejected)
    assert ((corrected >= p) | np.isnan(p)).all()
