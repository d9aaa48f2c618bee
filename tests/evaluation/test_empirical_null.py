"""The empirical null against locfdr's numbers, and on values whose truth is known."""

import contextlib
import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.evaluation import empirical_null as module
from perturbjax.evaluation.empirical_null import EmpiricalNull, empirical_null, local_fdr, thresholds

# So many that the null is sought in the inner nine tenths of them.
EVEN = np.linspace(-1, 1, 200_000)


def noise(n=5000, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def mixture(n=20_000, seed=0):
    """90% N(0.3, 0.5^2) and 10% N(3.3, 0.5^2), six sigma away; the values and which are noise."""
    rng = np.random.default_rng(seed)
    null = rng.random(n) < 0.9
    return np.where(null, 0.3, 3.3) + rng.normal(0, 0.5, n), null


def test_equals_locfdr(golden):
    values, rates = (np.loadtxt(golden / name) for name in ('additive_residuals.txt', 'local_fdr.txt'))
    expected = json.loads((golden / 'empirical_null.json').read_text())
    null = empirical_null(values)
    for name in ('delta', 'sigma', 'p0'):
        assert getattr(null, name) == pytest.approx(expected[name], rel=1e-6)
    np.testing.assert_allclose(local_fdr(values, null), rates, atol=1e-6)
    lower, upper = thresholds(values, null)
    assert lower == pytest.approx(expected['lower_threshold_fdr05'], abs=1e-9)
    assert upper == pytest.approx(expected['upper_threshold_fdr05'], abs=1e-9)
    assert (values < lower).sum() == expected['called_lower']
    assert (values > upper).sum() == expected['called_upper']
    assert null.misfit > 5  # locfdr too would warn: seven degrees are few for these


def test_a_known_mixture_is_found():
    values, is_noise = mixture()
    null = empirical_null(values, degrees=15)
    assert null.delta == pytest.approx(0.3, abs=0.02)
    assert null.sigma == pytest.approx(0.5, abs=0.02)
    assert null.p0 == pytest.approx(0.9, abs=0.02)
    called = local_fdr(values, null) <= 0.05
    assert called[~is_noise].mean() > 0.95
    assert is_noise[called].mean() < 0.05
    f0, f1 = (p * scipy.stats.norm.pdf(values, mean, 0.5) for p, mean in ((0.9, 0.3), (0.1, 3.3)))
    likely = f0 + f1 > 0.01  # elsewhere there are too few values to know
    assert np.abs(local_fdr(values, null) - f0 / (f0 + f1))[likely].mean() < 0.02


def test_noise_alone_is_not_called():
    for seed in range(5):
        values = noise(seed=seed)
        null = empirical_null(values)
        assert null.p0 == pytest.approx(1, abs=0.05)
        assert (local_fdr(values, null) <= 0.05).mean() < 0.002
        assert 0.4 < null.misfit < 2


@given(st.floats(-100, 100), st.floats(0.001, 1000), st.booleans())
@settings(max_examples=15)
def test_the_unit_of_the_values_does_not_matter(shift, scale, mirrored):
    values, _ = mixture(2000)
    scale = -scale if mirrored else scale
    null, other = empirical_null(values), empirical_null(scale * values + shift)
    assert other.sigma == pytest.approx(abs(scale) * null.sigma, rel=1e-4)
    assert other.delta == pytest.approx(scale * null.delta + shift, abs=1e-4 * other.sigma)
    assert other.p0 == pytest.approx(null.p0, rel=1e-4)


@given(st.integers(0, 10**6), st.integers(120, 2000), st.floats(1.5, 30))
@settings(max_examples=30)
def test_any_tails_give_rates_or_one_sentence(seed, n, freedom):
    values = np.random.default_rng(seed).standard_t(freedom, n)
    with contextlib.suppress(InputError):
        null = empirical_null(values)
        rates = local_fdr(values, null)
        assert ((rates >= 0) & (rates <= 1)).all()
        assert null.fdr[np.abs(null.midpoints - null.delta).argmin()] == 1


def test_the_null_has_the_greatest_likelihood_of_its_window():
    values, centre, half_width = mixture(3000)[0], 0.25, 0.8
    delta, sigma, p0 = module._fit_window(values, centre, half_width)
    ends = np.array([centre - half_width, centre + half_width])
    inside = values[(values >= ends[0]) & (values <= ends[1])]

    def likelihood(mean, deviation):
        low, high = (ends - mean) / deviation
        return scipy.stats.truncnorm.logpdf(inside, low, high, mean, deviation).sum()

    for step in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert likelihood(delta + step[0], sigma + step[1]) < likelihood(delta, sigma)
    mass = np.diff(scipy.stats.norm.cdf(ends, delta, sigma))
    assert p0 == pytest.approx(len(inside) / 3000 / mass[0])


def test_many_values_take_a_window_of_one_sigma(monkeypatch):
    values, windows = mixture(3000)[0], []
    fit = module._fit_window
    monkeypatch.setattr(module, '_fit_window', lambda *given: windows.append(given[2]) or fit(*given))
    first = scipy.stats.iqr(values, scale='normal')
    empirical_null(values)
    assert windows[0] == pytest.approx(4.3 * np.exp(-0.26 * np.log10(3000)) * first)
    monkeypatch.setattr(module, '_MANY', 2999)
    empirical_null(values)
    assert windows[2] == pytest.approx(first)


def test_the_density_solves_the_poisson_equations():
    counts = np.histogram(mixture(3000)[0], 119)[0]
    fitted = module._smooth(counts, 7)
    position = np.arange(119)  # constants and straight lines are natural splines
    assert fitted.sum() == pytest.approx(counts.sum(), rel=1e-6)
    assert (fitted * position).sum() == pytest.approx((counts * position).sum(), rel=1e-6)
    bends = np.diff(np.log(fitted), 2)
    assert np.abs(bends[[0, -1]]).max() < 0.2 * np.abs(bends).max()  # straight at both ends


def test_a_value_far_out_leaves_bins_empty_and_is_called():
    values = np.append(noise(), 40)
    null = empirical_null(values)
    rates = local_fdr(values, null)
    assert np.isfinite(rates).all()
    assert rates[-1] <= 0.05


def test_missing_values_change_nothing():
    values = noise(600)
    gaps = np.full(700, np.nan)
    gaps[::7] = 0
    gaps[gaps != 0] = values
    gaps[gaps == 0] = np.nan
    gaps = gaps.reshape(100, 7)
    null, other = empirical_null(values), empirical_null(gaps)
    assert other[:3] == null[:3]
    np.testing.assert_array_equal(local_fdr(gaps, other)[~np.isnan(gaps)], local_fdr(values, null))
    assert np.isnan(local_fdr(gaps, other)).sum() == 100
    assert thresholds(gaps, other) == thresholds(values, null)


def test_rates_and_thresholds_by_hand():
    null = EmpiricalNull(0.0, 1.0, 0.9, np.array([-2.0, 0, 2, 4]), np.array([0.4, 1, 0.2, 0.0]), 1.0)
    values = np.array([-5, -1, 0, 1, 2.5, 3.4, 3.6, 9, np.nan])
    expected = [0.4, 0.7, 1, 0.6, 0.15, 0.06, 0.04, 0, np.nan]
    np.testing.assert_allclose(local_fdr(values, null), expected, rtol=1e-12)
    assert thresholds(values, null, level=0.055) == (-np.inf, 3.4)
    assert thresholds(values, null, level=0.42) == (-5, 1)
    assert thresholds(values, null, level=0.4) == (-5, 1)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (noise(119), '119 of 119 values are finite; all must be finite, and at least 120'),
        (np.append(noise(200), np.inf), '200 of 201 values are finite'),
        (np.full((20, 20), np.nan), '0 of 0 values are finite'),
        (np.append(noise(200), np.zeros(1000)), 'most values are the same'),
        (np.append(noise(), 1e4), 'leave out the outliers or set more breaks'),
        (np.repeat([0.0, 1.0, 2.0], 100), 'fall into 3 of 119 bins'),
        (np.sign(EVEN) * np.abs(EVEN) ** 0.8, 'does not look like noise'),
    ],
    ids=['few', 'infinite', 'missing', 'constant', 'outlier', 'coarse', 'no peak'],
)
def test_values_without_a_null_are_told(values, message):
    with pytest.raises(InputError, match=message):
        empirical_null(values)
