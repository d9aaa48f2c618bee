"""What the members of an ensemble do not agree on.

The S members' predictions of readout m, less their mean, are z_s; their covariance between pairs is that of a sum of S
effects with unit variance, z_s / sqrt(S) of each. What the calibrated spread of a model adds to the variance of its
members is taken for the noise of a measurement, its mean over pairs for each readout. Source: Kirsch et al. 2019
(batches by joint disagreement), here with Gaussian members.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from perturbjax.errors import InputError
from perturbjax.models.model import Fitted, Model, Query, spread_of
from perturbjax.models.two_way import spread_out
from perturbjax.planning.greedy import Effects, Rows
from perturbjax.prediction.stream import Predictor, predict_profiles

# Readouts that disagreement is looked at in, spread over the vocabulary.
_READOUTS = 32


def disagreement(label: str, model: Model, fitted: Fitted, asked: Query) -> tuple[Effects, Rows]:
    """The effects of the members, a block for each of up to 32 readouts, and the rows of the pairs asked about.

    Args:
      label: of the model, for messages.
      model: with a spread.
      fitted: its S members.
      asked: the pairs.

    Raises:
      InputError: all members predict the same.
    """
    some = asked._replace(readout=asked.readout[spread_out(len(asked.readout), _READOUTS)])
    each = np.stack([_predicted(model, one, some, label) for one in _one_by_one(fitted)])
    from_mean = np.nan_to_num(each - each.mean(axis=0))
    if not from_mean.any():
        raise InputError(
            f'next.model: the members of {label!r} predict the same everywhere, as where its folds kept nothing of the '
            'networks; name another model, such as two_way.'
        )
    spread = predict_profiles(Predictor(spread_of(model), fitted, model.tile_values), some, f'{label} spread')
    noise = np.nanmean(np.maximum(spread**2 - from_mean.var(axis=0), 0), axis=0)
    size, readouts = len(each), from_mean.shape[2]
    value = jnp.asarray(from_mean.transpose(2, 1, 0) / np.sqrt(size))
    ids = jnp.broadcast_to(jnp.arange(size), value.shape[1:])
    alike = jnp.broadcast_to(jnp.eye(size), (readouts, size, size))
    return Effects(alike, jnp.nan_to_num(jnp.asarray(noise)), jnp.full(readouts, 1 / readouts)), Rows(ids, value)


def _one_by_one(fitted: Fitted) -> Iterator[Fitted]:
    """Each member as an ensemble of one."""
    for number in range(fitted.num_members):
        weights, statistics = jax.tree.map(
            lambda each, number=number: each[number : number + 1], (fitted.weights, fitted.statistics)
        )
        yield fitted._replace(weights=weights, statistics=statistics)


def _predicted(model: Model, fitted: Fitted, asked: Query, label: str) -> Float[np.ndarray, 'T M']:
    return predict_profiles(Predictor(model.predict, fitted, model.tile_values), asked, label)
