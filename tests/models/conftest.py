"""What tests of parity need in both precisions."""

import jax
import numpy as np
import pytest


@pytest.fixture(params=[np.float32, np.float64], ids=['float32', 'float64'])
def dtype(request):
    before = jax.config.jax_enable_x64
    jax.config.update('jax_enable_x64', request.param == np.float64)
    yield request.param
    jax.config.update('jax_enable_x64', before)
