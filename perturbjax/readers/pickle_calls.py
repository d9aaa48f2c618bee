"""The functions that `unpickle` may call in place of those that a pickle names.

A pickle of plain values names a few functions of Python and numpy. None of them is called. The functions
here do the same for plain values, and refuse everything else.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

_SCALARS = (str, bytes, int, float, type(None))
_DTYPE = re.compile(r'[OUS]\d+')


def scalars(values: Iterable[Any]) -> list[Any]:
    """The values as a list. Only scalars are accepted: hashing deeply nested tuples could exhaust the C stack."""
    values = list(values)
    if not all(isinstance(value, _SCALARS) for value in values):
        raise TypeError('a key, or a member of a set, is neither text nor number')
    return values


class Call(NamedTuple):
    """Our own function, called in place of the one that the pickle names."""

    make: Callable[..., Any]


class Array(list):
    """The values of an array; the step BUILD fills them in."""


@dataclasses.dataclass
class Dtype:
    """The type of an array's values, such as U5; the step BUILD sets its byte order."""

    code: str
    order: str = '|'


def _dtype(code: str, *_: Any) -> Dtype:
    if not _DTYPE.fullmatch(code):
        raise ValueError(f'it has values of the type {code!r}')
    return Dtype(code)


def from_buffer(data: Any, dtype: Any, shape: Any, _: str = 'C') -> list[Any]:
    """The values of an array. Their number follows from the data, so that no shape can ask for memory."""
    if not isinstance(dtype, Dtype) or len(shape) != 1:
        raise ValueError('it has an array of several axes')
    if dtype.code[0] == 'O' and type(data) is list:
        return data
    if dtype.code[0] == 'O' or not isinstance(data, bytes | bytearray):
        raise TypeError(f'it has an array of {dtype.code} without its values')
    return np.frombuffer(data, np.dtype(dtype.order + dtype.code)).tolist()


def _scalar(dtype: Dtype, data: bytes) -> Any:
    return from_buffer(data, dtype, (1,))[0]


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding != 'latin1':  # as protocols 0 to 2 write them
        raise ValueError('it encodes something other than bytes')
    return text.encode(encoding)


def _ndarray(*_: Any) -> None:
    raise TypeError('it makes an array directly')


CALLS: dict[str, Callable[..., Any]] = {
    'builtins.set': lambda items: set(scalars(items)),
    'builtins.frozenset': lambda items: frozenset(scalars(items)),
    'builtins.bytes': lambda: b'',  # empty bytes, as protocols 0 to 2 write them
    '_codecs.encode': _encode,
    'numpy.ndarray': _ndarray,
    'numpy.dtype': _dtype,
    'numpy._core.multiarray._reconstruct': lambda *_: Array(),
    'numpy._core.multiarray.scalar': _scalar,
    'numpy._core.numeric._frombuffer': from_buffer,
}
