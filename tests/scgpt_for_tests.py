"""The golden numbers of scGPT under the names that the module gives them, and folders of pretrained weights."""

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.models.scgpt.learning import CellBatch
from perturbjax.models.scgpt.network import Network
from perturbjax.models.scgpt.weights import placed, pretrained_names

_HEADS = {'factor': 'decoder.coeff_decoder', 'offset': 'decoder.bias_decoder'}
_LEAVES = {'kernel': 'weight', 'bias': 'bias'}


def from_torch(state, dtype, blocks=3):
    """The parameters of the module."""
    names = pretrained_names(blocks) | {'flag/table': ['pert_encoder.weight']}
    for ours, theirs in _HEADS.items():
        for i in range(3):
            for leaf, their_leaf in _LEAVES.items():
                names[f'{ours}/linear_{i + 1}/{leaf}'] = [f'{theirs}.fc.{2 * i}.{their_leaf}']
    return jax.tree.map(jnp.asarray, placed({name: np.asarray(each, dtype) for name, each in state.items()}, names))


def network_of(numbers, **options):
    """The network of the golden sizes."""
    sizes = numbers['settings']
    return Network(
        sizes['ntoken'], sizes['pad_id'], sizes['d_model'], sizes['nhead'], sizes['d_hid'], sizes['nlayers'],
        **({'dropout': 0.0} | options),
    )  # fmt: skip


def batch_of(numbers, index, dtype):
    """A golden batch."""
    batch = numbers['batches'][index]
    x, y = (jnp.asarray(np.array(batch[name], dtype)) for name in ('values', 'target'))
    return CellBatch(jnp.asarray(batch['src']), x, jnp.asarray(batch['pert_flags']), y)
