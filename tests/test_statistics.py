"""The bootstrap against plain resampling, and how often its interval holds the truth."""

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.evaluation.statistics import bootstrap, cluster_sums, draw, interval, weigh


def ratio(sums):
    return sums['total'] / sums['count']


def make(clusters=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        'total': rng.normal(size=(clusters, 2)).astype(np.float32),
        'count': rng.integers(1, 4, (clusters, 2)).astype(np.float32),
    }


def test_cluster_sums_by_hand():
    profiles = {'a': jnp.array([1.0, 2.0, 3.0]), 'b': jnp.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])}
    sums = cluster_sums(profiles, jnp.array([1, 0, 1]), 2)
    np.testing.assert_array_equal(sums['a'], [2, 4])
    np.testing.assert_array_equal(sums['b'], [[0, 1], [6, 5]])


def test_a_draw_is_as_large_as_the_sample():
    weights = jax.vmap(lambda key: draw(key, 7))(jax.random.split(jax.random.key(0), 2000))
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.1)  # multinomial: n p (1 - p)


def test_bootstrap_is_plain_resampling():
    sums, replicates = make(), 70
    found = bootstrap(ratio, sums, seed=3, replicates=replicates)
    for i in range(replicates):
        weights = np.asarray(draw(jax.random.fold_in(jax.random.key(3), i), 12)).astype(int)
        resampled = np.repeat(np.arange(12), weights)
        expected = sums['total'][resampled].sum(axis=0) / sums['count'][resampled].sum(axis=0)
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)
    low, high = interval(found, jnp.full(2, 12))
    np.testing.assert_allclose(low, np.percentile(found, 2.5, axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(high, np.percentile(found, 97.5, axis=0), rtol=1e-4, atol=1e-6)


def test_the_seed_decides():
    few, more = (bootstrap(ratio, make(), seed=1, replicates=n) for n in (70, 150))
    np.testing.assert_allclose(few, more[:70], rtol=1e-6)
    assert not np.allclose(few, bootstrap(ratio, make(), seed=2, replicates=70))


def test_weights_of_one_give_the_statistic_itself():
    sums = make()
    expected = sums['total'].sum(axis=0) / sums['count'].sum(axis=0)
    np.testing.assert_allclose(ratio(weigh(jnp.ones(12), sums)), expected, rtol=1e-5)


def test_one_cluster_tells_nothing_of_the_spread():
    samples = bootstrap(ratio, make(clusters=1), replicates=10)
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
    low, high = interval(bootstrap(ratio, sums, replicates=500), jnp.full(trials, clusters))
    assert 0.89 < ((low < 2) & (high > 2)).mean() < 0.99


def test_clusters_and_not_profiles_are_drawn():
    # Ten copies of every profile are no more evidence than one.
    values = np.random.default_rng(0).normal(size=(30, 1)).astype(np.float32)
    profiles = {'total': np.tile(values, (10, 1)), 'count': np.ones((300, 1), np.float32)}
    cluster = np.tile(np.arange(30), 10)
    once = bootstrap(ratio, {'total': values, 'count': np.ones_like(values)}, replicates=50)
    np.testing.assert_allclose(bootstrap(ratio, cluster_sums(profiles, cluster, 30), replicates=50), once, atol=1e-6)


def test_memory_is_bounded():
    # 10 models x 20 metrics; 20,000 x 10,000 weights alone would be 800 MB.
    sums = {name: jax.ShapeDtypeStruct((20_000, 10, 20), jnp.float32) for name in ('total', 'count')}
    memory = bootstrap.lower(ratio, sums, 0, 10_000).compile().memory_analysis()
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < 2**28
