"""Weights of scGPT's generator by the names that they have in torch and in our network."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Of what is pretrained: our place, and torch's name.
_OUTSIDE = {
    'gene/table': 'encoder.embedding.weight',
    'gene_norm/scale': 'encoder.enc_norm.weight',
    'gene_norm/bias': 'encoder.enc_norm.bias',
    'value/linear_1/kernel': 'value_encoder.linear1.weight',
    'value/linear_1/bias': 'value_encoder.linear1.bias',
    'value/linear_2/kernel': 'value_encoder.linear2.weight',
    'value/linear_2/bias': 'value_encoder.linear2.bias',
    'value/norm/scale': 'value_encoder.norm.weight',
    'value/norm/bias': 'value_encoder.norm.bias',
}
# Of a block, after the name of its place.
_BLOCK = {
    'attention/in_proj/kernel': 'self_attn.in_proj_weight',
    'attention/in_proj/bias': 'self_attn.in_proj_bias',
    'attention/out_proj/kernel': 'self_attn.out_proj.weight',
    'attention/out_proj/bias': 'self_attn.out_proj.bias',
    'linear_1/kernel': 'linear1.weight',
    'linear_1/bias': 'linear1.bias',
    'linear_2/kernel': 'linear2.weight',
    'linear_2/bias': 'linear2.bias',
    'norm_1/scale': 'norm1.weight',
    'norm_1/bias': 'norm1.bias',
    'norm_2/scale': 'norm2.weight',
    'norm_2/bias': 'norm2.bias',
}
# The parts that are pretrained.
PREFIXES = ('encoder.', 'value_encoder.', 'transformer_encoder.')
# Names of checkpoints that were trained with flash attention.
_OF_FLASH = {'Wqkv.weight': 'in_proj_weight', 'Wqkv.bias': 'in_proj_bias'}


def pretrained_names(blocks: int) -> dict[str, list[str]]:
    """Torch's names at each of our places: one, or one for each block, whose weights are stacked."""
    inside = {
        f'encoder/blocks/{ours}': [f'transformer_encoder.layers.{i}.{theirs}' for i in range(blocks)]
        for ours, theirs in _BLOCK.items()
    }
    return {ours: [theirs] for ours, theirs in _OUTSIDE.items()} | inside


def ordinary(name: str) -> str:
    """The name in a checkpoint of ordinary attention."""
    for flash, plain in _OF_FLASH.items():
        name = name.replace(flash, plain)
    return name


def placed(state: Mapping[str, np.ndarray], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Torch's arrays at our places, as nested dicts: kernels turned to [in, out], those of blocks stacked."""
    found: dict[str, Any] = {}
    for ours, theirs in names.items():
        *outer, leaf = ours.split('/')
        arrays = [state[name].T if leaf == 'kernel' else state[name] for name in theirs]
        into = found
        for key in outer:
            into = into.setdefault(key, {})
        into[leaf] = np.stack(arrays) if outer[0] == 'encoder' else arrays[0]
    return found
