"""What torch.save wrote, as plain values and tensors; no code in a file is run."""

import pathlib
import re
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from perturbjax.errors import InputError, reason
from perturbjax.readers.compressed import check_zip


def import_torch(what: str) -> Any:
    """The module torch, which is needed for `what`; raises InputError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise InputError(f'{what}: its checkpoints need torch; pip install perturbjax[torch].') from error
    return torch


def load_torch(path: str, what: str, allowed: Sequence[Any] = ()) -> Any:
    """What the file holds, on the CPU; the unpickler accepts only tensors and plain values.

    Args:
      path: of the file.
      what: kind of checkpoint, for messages.
      allowed: other harmless classes, as torch.serialization.safe_globals takes them.

    Raises:
      InputError: there is no such file, it would run code, or it is damaged.
    """
    torch = import_torch(what)
    if not pathlib.Path(path).is_file():
        raise InputError(f'{path}: there is no such file.')
    if zipfile.is_zipfile(path):
        check_zip(path)
    try:
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the error below says the same
            return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # the unpickler raises anything on a damaged file
        refused = re.search(r'GLOBAL ([\w.]+)', str(error))
        if refused:
            raise InputError(f'{path}: reading it would run {refused[1]}; it was not run, nor will it be.') from error
        raise InputError(f'{path}: torch cannot read it as weights; it is of another format, or damaged.') from error


def tensor_values(path: str, name: str, tensor: Any) -> np.ndarray:
    """The values as float32; raises InputError where a tensor is sparse, or of a larger shape than it holds values."""
    try:
        if tensor.untyped_storage().nbytes() >= tensor.nbytes:
            return tensor.detach().float().numpy()
    except (RuntimeError, TypeError) as error:
        raise InputError(f'{path}: {name} is no plain tensor ({reason(error)}); save its dense values.') from error
    raise InputError(f'{path}: {name} of shape {tuple(tensor.shape)} repeats fewer values; save it as contiguous().')
