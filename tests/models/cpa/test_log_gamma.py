"""ln gamma of positive numbers and its derivative against scipy's."""

import jax
import numpy as np
import pytest
import scipy.special

from perturbjax.models.cpa.log_gamma import log_gamma

Z = np.concatenate([np.logspace(-6, 0, 40), np.linspace(1, 30, 59), np.logspace(1.5, 6, 40)])


@pytest.mark.parametrize(('dtype', 'tolerance'), [(np.float64, 1e-13), (np.float32, 3e-7)])
def test_it_is_that_of_scipy(dtype, tolerance):
    """The error is a share of ln gamma(z + 7), from which it is found by a difference."""
    with jax.enable_x64(dtype == np.float64):
        z = Z.astype(dtype)
        found, slope = map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(log_gamma)))(z))
    exact = z.astype(np.float64)
    assert (np.abs(found - scipy.special.gammaln(exact)) <= 4 * tolerance * scipy.special.gammaln(exact + 7)).all()
    size = np.maximum(np.abs(scipy.special.digamma(exact)), scipy.special.digamma(exact + 7))
    assert (np.abs(slope - scipy.special.digamma(exact)) <= 4 * tolerance * size).all()
