"""Networks of a user's own: a plain one, and one with batch norm over all devices."""

import flax.linen as nn
import jax.numpy as jnp

from perturbjax.models import flax_model
from perturbjax.models.dropout import relu_dropout
from perturbjax.models.flax_model import Sizes


class Mlp(nn.Module):
    """Embeddings, one hidden layer, one number."""

    sizes: Sizes
    width: int = 6

    @nn.compact
    def __call__(self, context, perturbation, readout):
        contexts, perturbations, readouts = (nn.Embed(rows, self.width) for rows in self.sizes)
        parts = perturbations(jnp.maximum(perturbation, 0)) * (perturbation >= 0)[..., None]
        x = nn.tanh(contexts(context) + parts.sum(axis=-2) + readouts(readout))
        return nn.Dense(1)(nn.tanh(nn.Dense(self.width)(x)))[..., 0]


class Normed(nn.Module):
    """As `Mlp`, with dropout and with batch norm, whose statistics are those of the whole batch."""

    sizes: Sizes
    width: int = 6

    @nn.compact
    def __call__(self, context, perturbation, readout, noise=None, train=False):
        contexts, perturbations, readouts = (nn.Embed(rows, self.width) for rows in self.sizes)
        first = perturbations(jnp.maximum(perturbation[..., 0], 0))
        x = contexts(context) + first + readouts(readout)
        x = nn.BatchNorm(not train, axis_name='devices' if train else None)(x)
        shape = x.shape[:-1]
        x = x.reshape(-1, self.width)
        x = nn.relu(x) if noise is None else relu_dropout(x, noise, 0)
        return nn.Dense(1)(x).reshape(shape)


def mlp(width: int = 6):
    return flax_model(lambda sizes: Mlp(sizes, width))


def normed(dropout: float = 0.0):
    return flax_model(Normed, dropout)
