"""Efron's empirical null: which of many values are too extreme to be noise.

Most values are noise from N(delta, sigma^2), the others have an effect, so the density of all values is
f = p0 f0 + (1 - p0) f1. The null f0 is estimated from the values in the middle, where effects are rare. The
local false discovery rate of a value z is the share of noise among the values near it,
fdr(z) = p0 f0(z) / f(z) (Efron 2004, JASA 99:96; 2007, Annals of Statistics 35:1351).

Bins, spline and windows are those of the R package locfdr 1.1-8 with its default settings.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import iqr, norm

from perturbjax.errors import InputError

# With more values than this the window of the null is one sigma to either side; with fewer it is wider.
_MANY = 500_000
# The range of sigma, in half-widths of the window: a wider null cannot be told from a flat density.
_SIGMAS = (0.01, 10.0)
# The lowest log density; over many empty bins the fitted spline would otherwise fall without end.
_LEAST = -200.0


class EmpiricalNull(NamedTuple):
    """The fitted distribution of the values that are noise.

    Attributes:
      delta: the mean of the null, in the unit of the values.
      sigma: its standard deviation.
      p0: the share of values that follow the null; an estimate, which can be slightly above 1.
      midpoints: the midpoints of the bins, `[B]`.
      fdr: the local false discovery rate at the midpoints, `[B]`.
      misfit: mean of (count - fitted)^2 / (fitted + 1) over bins. About 1 is a good fit. If it is far above 1,
        the spline does not follow the histogram, and more degrees may help.
    """

    delta: float
    sigma: float
    p0: float
    midpoints: np.ndarray
    fdr: np.ndarray
    misfit: float


def empirical_null(values: np.ndarray, breaks: int = 120, degrees: int = 7) -> EmpiricalNull:
    """Fits the null by maximum likelihood, and the density of all values by Poisson regression.

    Args:
      values: an array of any shape; NaN is left out.
      breaks: the range of the values is cut into breaks - 1 bins of equal width.
      degrees: degrees of freedom of the natural cubic spline for the log density.

    Raises:
      InputError: there are too few values, some are infinite, they are too coarse for the bins, or their
        middle does not look like noise.
    """
    values = _finite(values, breaks)
    delta, sigma, p0 = _null(values)
    counts, edges = np.histogram(values, breaks - 1)
    _check_bins(counts, edges[1] - edges[0], sigma, degrees)
    midpoints = (edges[1:] + edges[:-1]) / 2
    fitted = _smooth(counts, degrees)
    null = norm.pdf(midpoints, delta, sigma)
    fdr = np.minimum(p0 * null * (fitted.sum() / null.sum()) / fitted, 1)
    # Noise is densest here, so a lower rate would be an artefact of the spline.
    fdr[np.abs(midpoints - delta) <= sigma] = 1
    misfit = np.mean(np.square(counts - fitted) / (fitted + 1))
    return EmpiricalNull(delta, sigma, p0, midpoints, fdr, float(misfit))


def local_fdr(values: np.ndarray, null: EmpiricalNull) -> np.ndarray:
    """The local false discovery rate of each value, 0 to 1, in the same shape; NaN stays NaN.

    It is interpolated linearly between the midpoints of bins, and constant beyond the first and the last.
    """
    return np.interp(values, null.midpoints, null.fdr)


def thresholds(values: np.ndarray, null: EmpiricalNull, level: float = 0.05) -> tuple[float, float]:
    """The values (lower, upper) whose local fdr is closest to `level`, below and above delta.

    If no value on a side has a local fdr of at most `level`, the threshold of that side is infinite.
    """
    values = np.asarray(values, float)
    fdr = local_fdr(values, null)

    def nearest(side: np.ndarray, none: float) -> float:
        there, rates = values[side], fdr[side]
        return float(there[np.abs(rates - level).argmin()]) if (rates <= level).any() else none

    return nearest(values < null.delta, -np.inf), nearest(values > null.delta, np.inf)


def _finite(values: np.ndarray, least: int) -> np.ndarray:
    """The values that are not NaN, `[n]`."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    finite = int(np.isfinite(values).sum())
    if finite < max(least, len(values)):
        raise InputError(
            f'empirical null: {finite} of {len(values)} values are finite; all must be finite, and at least {least}.'
        )
    return values


def _check_bins(counts: np.ndarray, width: float, sigma: float, degrees: int) -> None:
    filled = int((counts > 0).sum())
    if filled <= degrees or sigma < width / 2:
        raise InputError(
            f'empirical null: the values fall into {filled} of {len(counts)} bins {width:.3g} wide, too coarse for '
            f'noise of sigma {sigma:.3g}; leave out the outliers or set more breaks.'
        )


def _null(values: np.ndarray) -> tuple[float, float, float]:
    """Returns (delta, sigma, p0), fitted in a window from the quartiles, then again in a window from that fit."""
    sigmas = 1.0 if len(values) > _MANY else 4.3 * np.exp(-0.26 * np.log10(len(values)))
    delta, sigma = np.median(values), iqr(values, scale='normal')
    delta, sigma, _ = _fit_window(values, delta, sigmas * sigma)
    return _fit_window(values, delta, sigmas * sigma)


def _fit_window(values: np.ndarray, centre: float, half_width: float) -> tuple[float, float, float]:
    """Returns (delta, sigma, p0) by maximum likelihood, taking all values in centre +- half_width for noise.

    These values then follow a truncated normal distribution, whose likelihood depends only on their mean and
    mean square. p0 is their share of all values divided by the mass of the normal distribution in the window.
    """
    inside = values[np.abs(values - centre) <= half_width]
    if half_width == 0 or not len(inside):
        raise InputError('empirical null: most values are the same, so they say nothing about noise.')
    scaled = (inside - centre) / half_width
    mean, square = scaled.mean(), np.square(scaled).mean()

    def mass(delta: float, sigma: float) -> float:
        return ndtr((1 - delta) / sigma) - ndtr((-1 - delta) / sigma)

    def loss(parameters: np.ndarray) -> float:
        delta, log_sigma = parameters
        sigma = np.exp(log_sigma)
        return log_sigma + (square - 2 * delta * mean + delta**2) / (2 * sigma**2) + np.log(mass(delta, sigma))

    bounds = np.array([(-1, 1), np.log(_SIGMAS)])
    options = {'xatol': 1e-9, 'fatol': 1e-14}
    found = minimize(loss, np.array([mean, 0.0]), method='Nelder-Mead', bounds=bounds, options=options).x
    if np.isclose(bounds, found[:, None], atol=1e-6).any():
        raise InputError('empirical null: the middle of the values does not look like noise; it has no peak.')
    delta, sigma = float(found[0]), float(np.exp(found[1]))
    p0 = len(inside) / len(values) / mass(delta, sigma)
    return float(centre + half_width * delta), float(half_width * sigma), float(p0)


def _smooth(counts: np.ndarray, degrees: int) -> np.ndarray:
    """Expected counts `[B]`; their log is a natural cubic spline, fitted by Poisson regression.

    The knots cut the bins into `degrees` equal parts. The basis has one spline for each knot, which is 1 at
    that knot and 0 at the others.
    """
    bins = np.linspace(0, 1, len(counts))
    basis = CubicSpline(np.linspace(0, 1, degrees + 1), np.eye(degrees + 1), bc_type='natural')(bins)
    share = counts / counts.sum()

    def loss(coefficients: np.ndarray) -> float:
        log_mean = basis @ coefficients
        return np.sum(np.exp(log_mean) - share * log_mean)

    def gradient(coefficients: np.ndarray) -> np.ndarray:
        return basis.T @ (np.exp(basis @ coefficients) - share)

    def hessian(coefficients: np.ndarray) -> np.ndarray:
        return basis.T @ (np.exp(basis @ coefficients)[:, None] * basis)

    start = np.linalg.lstsq(basis, np.log((counts + 0.1) / counts.sum()), rcond=None)[0]
    # Steps have a bounded length, because a free Newton step overflows if many bins are empty.
    options = {'gtol': 1e-9, 'max_trust_radius': 10.0}
    found = minimize(loss, start, method='trust-exact', jac=gradient, hess=hessian, options=options)
    return counts.sum() * np.exp(np.maximum(basis @ found.x, _LEAST))
