"""A folder of pretrained scGPT: `best_model.pt`, `vocab.json` and `args.json`, as its authors give them away.

No weights come with the package. torch is needed to read them, and no code in the file is run.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Int

from perturbjax.errors import InputError, listed, reason
from perturbjax.models.scgpt.network import Network
from perturbjax.models.scgpt.weights import PREFIXES, ordinary, placed, pretrained_names
from perturbjax.readers.torch_file import load_torch, tensor_values

WEIGHTS, VOCABULARY, ARGUMENTS = 'best_model.pt', 'vocab.json', 'args.json'
WHERE = 'the folder "whole-human" that the README of github.com/bowang-lab/scGPT links to has them'

# Their names of the sizes of our network.
_SIZES = {'width': 'embsize', 'heads': 'nheads', 'hidden': 'd_hid', 'blocks': 'nlayers'}


class Pretrained(NamedTuple):
    """What a folder holds.

    Attributes:
      network: of its sizes.
      weights: of the embeddings of genes and values and of the encoder, float32; flags and heads are not pretrained.
      vocabulary: the token of each gene, and of `<pad>` and the like.
    """

    network: Network
    weights: dict[str, Any]
    vocabulary: dict[str, int]

    def of_panel(self, tokens: Int[np.ndarray, ' S']) -> 'Pretrained':
        """The same with the vectors of these genes alone: gene i has the token i, and the token S is padding."""
        table = np.asarray(self.weights['gene']['table'])[[*tokens, self.network.padding]]
        weights = self.weights | {'gene': {'table': table}}
        return Pretrained(self.network.clone(num_tokens=len(table), padding=len(tokens)), weights, {})

    def tokens(self, genes: Sequence[str]) -> Int[np.ndarray, ' S']:
        """The token of each gene; that of padding for those that the vocabulary lacks."""
        return np.array([self.vocabulary.get(name, self.network.padding) for name in genes], np.int32)

    def tell_coverage(self, genes: Sequence[str], where: str) -> None:
        """Says which genes the vocabulary lacks; raises InputError where it lacks all of them.

        `where` names the genes' screen or file.
        """
        lacks = [name for name in genes if name not in self.vocabulary]
        if len(lacks) == len(genes):
            raise InputError(
                f'{where}: none of the {len(genes)} genes ({listed(genes)}) is in the vocabulary of scGPT, which has '
                f'{listed(self.vocabulary)}; name them by their symbols.'
            )
        if lacks:
            logging.warning(
                '%s: the vocabulary of scGPT has %d of %d genes; the others get the token of padding, as released: %s.',
                *(where, len(genes) - len(lacks), len(genes), listed(lacks)),
            )


def read_pretrained(folder: str) -> Pretrained:
    """Reads the three files.

    Raises:
      InputError: one of them is missing or damaged, would run code, or does not fit the others.
    """
    paths = [pathlib.Path(folder) / name for name in (WEIGHTS, VOCABULARY, ARGUMENTS)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(f'{folder}: it lacks {listed(missing)} of the pretrained scGPT; {WHERE}.')
    weights, vocabulary, arguments = map(str, paths)
    tokens, settings = _tokens(vocabulary), _object(arguments)
    padding = settings.get('pad_token', '<pad>')
    if padding not in tokens:
        raise InputError(f'{vocabulary}: it lacks {padding!r}, the token of padding; take the file of the weights.')
    network = Network(len(tokens), tokens[padding], **_sizes(arguments, settings))
    return Pretrained(network, _weights(weights, network), tokens)


def _object(path: str) -> dict[str, Any]:
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f'{path}: it cannot be read as JSON ({reason(error)}); take it anew.') from error
    if not isinstance(found, dict):
        raise InputError(f'{path}: expected names and values in braces, found {type(found).__name__}.')
    return found


def _tokens(path: str) -> dict[str, int]:
    found = _object(path)
    if not all(type(token) is int for token in found.values()) or sorted(found.values()) != list(range(len(found))):
        raise InputError(f'{path}: expected the {len(found)} names to have the numbers from 0 on, each once.')
    return found


def _sizes(path: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    sizes: dict[str, Any] = {ours: settings.get(theirs) for ours, theirs in _SIZES.items()}
    if not all(type(size) is int and size > 0 for size in sizes.values()):
        given = {theirs: settings.get(theirs) for theirs in _SIZES.values()}
        raise InputError(f'{path}: expected whole numbers of at least 1, found {given}.')
    if sizes['width'] % sizes['heads']:
        raise InputError(f'{path}: embsize {sizes["width"]} is no multiple of nheads {sizes["heads"]}.')
    dropout = settings.get('dropout', Network.dropout)
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise InputError(f'{path}: dropout {dropout!r} must be a number of at least 0 and below 1.')
    return sizes | {'dropout': float(dropout)}


def _weights(path: str, network: Network) -> dict[str, Any]:
    state = load_torch(path, 'scgpt')
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f'{path}: expected the names of weights with their tensors, found {type(state).__name__}.')
    pretrained = {ordinary(name): value for name, value in state.items() if name.startswith(PREFIXES)}
    if network.blocks > len(pretrained):
        raise InputError(f'{path}: {ARGUMENTS} says {network.blocks} blocks, and it has {len(pretrained)} weights.')
    names = pretrained_names(network.blocks)
    _check(path, pretrained, names, network)
    arrays = {name: tensor_values(path, name, tensor) for name, tensor in pretrained.items()}
    return placed(arrays, names)


def _check(path: str, found: Mapping[str, Any], names: Mapping[str, list[str]], network: Network) -> None:
    """Raises InputError unless the weights are those of a network of this size, by name and shape."""
    expected = {name: ours for ours, theirs in names.items() for name in theirs}
    for fault, wrong in (('lacks', set(expected) - set(found)), ('has unknown weights', set(found) - set(expected))):
        if wrong:
            raise InputError(
                f'{path}: it {fault} {listed(sorted(wrong))}; expected is a scGPT of {network.blocks} blocks.'
            )
    shapes = _shapes(network)
    for name, ours in expected.items():
        shape = tuple(getattr(found[name], 'shape', ()))
        if shape != shapes[ours]:
            raise InputError(
                f'{path}: {name} is of shape {shape}, and {ARGUMENTS} and {VOCABULARY} say {shapes[ours]}; take all '
                'three files from one folder.'
            )


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The shape in torch at each of our places; of blocks that of one."""
    one = jnp.zeros((1, 1))
    made = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(1, jnp.int32), one, jnp.zeros((1, 1), jnp.int32))
    found = {}
    for keys, leaf in jax.tree.leaves_with_path(made['params']):
        place = '/'.join(key.key for key in keys)
        shape = leaf.shape[1:] if place.startswith('encoder/') else leaf.shape
        found[place] = shape[::-1] if place.endswith('kernel') else shape
    return found
