"""Reads and writes the file of a perturblib LPM as numpy arrays and names; no code in a file is run.

Source of the format: `ModelMixin.save` and `LPM.state_dict` of perturblib. The file is a torch.save of (model
id, arguments, state); the state has the weights and the names of their rows.
"""

import io
import itertools
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from perturbjax.errors import InputError, listed
from perturbjax.readers.perturblib import CONTROL_SYMBOL
from perturbjax.readers.torch_file import import_torch, load_torch, tensor_values
from perturbjax.workdir import replacing

MODEL = 'LPM'

# For each of our tables, the start of perturblib's names for it.
_THEIRS = {'context': 'context', 'perturbation': 'perturb', 'readout': 'readout'}


class Content(NamedTuple):
    """The content of a file.

    Attributes:
      arguments: the arguments of perturblib's LPM, such as embedding_dim, num_layers and hidden_dim.
      weights: float32, with the names and shapes of our module's parameters.
      symbols: perturblib's names of the rows of `context`, `perturbation` (`Control` first) and `readout`.
    """

    arguments: dict[str, Any]
    weights: dict[str, np.ndarray]
    symbols: dict[str, list[str]]


def read_file(path: str) -> Content:
    """Reads a `model.pt`; raises InputError if it is none, would run code, or its parts do not fit together."""
    arguments, state = _load(path)
    symbols = {table: _symbols(path, state, table) for table in _THEIRS}
    layers = _layers(*_sizes(path, arguments, most_layers=len(state)), symbols)
    _check_names(
        path, set(state), {name for name, _ in layers.values()} | {f'{name}_symbols' for name in _THEIRS.values()}
    )
    weights = {}
    for ours, (theirs, shape) in layers.items():
        found = tuple(getattr(state[theirs], 'shape', ()))
        if found != shape:
            raise InputError(f'{path}: expected {theirs} of shape {shape} from arguments and names, found {found}.')
        values = tensor_values(path, theirs, state[theirs])
        weights[ours] = values.T if ours.startswith('kernel') else values
    return Content(dict(arguments), weights, symbols)


def write_file(path: str | os.PathLike, content: Content) -> None:
    """Writes a `model.pt` that perturblib loads, completely or not at all."""
    torch, file, saved = import_torch('perturblib'), epath.Path(path), io.BytesIO()
    layers = _layers(*_sizes(str(path), content.arguments), content.symbols)
    state: dict[str, Any] = {f'{_THEIRS[table]}_symbols': names for table, names in content.symbols.items()}
    for ours, (theirs, _) in layers.items():
        values = content.weights[ours].T if ours.startswith('kernel') else content.weights[ours]
        state[theirs] = torch.from_numpy(np.array(values, np.float32, order='C'))
    torch.save((MODEL, content.arguments, state), saved)
    with replacing(file) as beside:
        beside.write_bytes(saved.getvalue())


def _load(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Loads arguments and state; the unpickler accepts only tensors, plain values and paths."""
    # perturblib leaves the folder of its cache in the arguments; a pure path cannot touch any file.
    kinds = {'PosixPath': pathlib.PurePosixPath, 'WindowsPath': pathlib.PureWindowsPath}
    paths = [(kind, f'{module}.{name}') for name, kind in kinds.items() for module in ('pathlib', 'pathlib._local')]
    content = load_torch(path, 'perturblib', paths)
    if not isinstance(content, tuple) or len(content) != 3:
        raise InputError(f'{path}: expected (model id, arguments, state) as perturblib saves them, found others.')
    model, arguments, state = content
    if model != MODEL or not isinstance(arguments, Mapping) or not isinstance(state, Mapping):
        raise InputError(f'{path}: expected the model {MODEL!r} with arguments and state, found {model!r}.')
    return arguments, state


def _symbols(path: str, state: Mapping[str, Any], table: str) -> list[str]:
    """perturblib's names of the rows of a table."""
    name = f'{_THEIRS[table]}_symbols'
    symbols = state.get(name)
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise InputError(f'{path}: expected a list of names in {name}, found {type(symbols).__name__}.')
    if table == 'perturbation' and symbols[:1] != [CONTROL_SYMBOL]:
        raise InputError(f'{path}: expected {CONTROL_SYMBOL!r} first in {name}, found {listed(symbols[:1])}.')
    return symbols


def _sizes(path: str, arguments: Mapping[str, Any], most_layers: int = sys.maxsize) -> tuple[int, list[int]]:
    """The width of the embeddings, and the width of each hidden layer."""
    sizes = {name: arguments.get(name) for name in ('embedding_dim', 'hidden_dim', 'num_layers')}
    if not all(type(size) is int and size > 0 for size in sizes.values()):
        raise InputError(f'{path}: expected whole numbers of at least 1 in its arguments, found {sizes}.')
    embedding, hidden, layers = (int(arguments[name]) for name in sizes)
    if layers > most_layers:
        raise InputError(f'{path}: it declares {layers} layers, but its state has {most_layers} entries.')
    return embedding, [hidden] * layers


def _layers(
    embedding: int, hidden: Sequence[int], symbols: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The name and shape in the state of each of our parameters; torch's kernels are [out, in]."""
    layers: dict[str, tuple[str, tuple[int, ...]]] = {}
    for table, theirs in _THEIRS.items():
        layers[table] = f'{theirs}_embedding_layer.weight', (len(symbols[table]), embedding)
    sizes = (3 * embedding, *hidden, 1)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        # torch also counts the ReLU and the dropout after each hidden layer.
        layers[f'kernel_{layer}'] = f'predictor.{3 * layer}.weight', (fan_out, fan_in)
        layers[f'bias_{layer}'] = f'predictor.{3 * layer}.bias', (fan_out,)
    return layers


def _check_names(path: str, found: set[str], expected: set[str]) -> None:
    for fault, names in (('lacks', expected - found), ('holds, beside what is known,', found - expected)):
        if names:
            raise InputError(
                f'{path}: its state {fault} {listed(sorted(names))}; expected of an {MODEL} of this depth are '
                f'{listed(sorted(expected), most=len(expected))}.'
            )
