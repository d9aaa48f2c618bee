"""GEARS' split pickles, read without pickle: the data in one is taken, and nothing in it is run.

A pickle is a program for a small stack machine, and REDUCE in it may call any function there is.
Here `pickletools` takes the program apart, and only the steps that put plain values together are
followed: None, booleans, numbers, text, bytes, lists, tuples, sets, dicts, and numpy's arrays
of text. Everything else is refused, before anything is made of it.

What the steps mean: PEP 307, 3154 and 574, and the notes in `pickletools`.
"""

import dataclasses
import pathlib
import pickletools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from perturbjax.errors import InputError

_MOST_BYTES = 2**20
_SCALARS = (str, bytes, int, float, type(None))
_DTYPE = re.compile(r'[OUS]\d+')
_BROKEN = (ValueError, TypeError, LookupError, OverflowError)


def read_split_pickle(path: str) -> dict[str, list[str]]:
    """The lists of conditions by name, such as train, val and test, in a split that GEARS pickled.

    A list may also be a tuple, an array of text, or a set, which is sorted. Any protocol is read.
    Raises InputError where the pickle asks for more than plain values, is damaged, holds anything
    but lists of text by name, or has more than 1 MiB.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise InputError(f'{path}: there is no such file.')
    if file.stat().st_size > _MOST_BYTES:
        raise InputError(f'{path}: has {file.stat().st_size} bytes, more than lists of conditions need; is it a split?')
    try:
        lists = plain_value(file.read_bytes())
    except _BROKEN as error:
        raise InputError(f'{path}: no split is read from this pickle ({error}); save the lists as JSON.') from error
    if not isinstance(lists, dict):
        raise InputError(f'{path}: not a split: it holds no lists by name, such as train, val and test.')
    return {str(name): _conditions(names, f'{path}: not a split: {name!r}') for name, names in lists.items()}


def _conditions(names: Any, what: str) -> list[str]:
    if not isinstance(names, list | tuple | set | frozenset):
        raise InputError(f'{what} is no list of conditions; is it the file of subgroups beside the split?')
    texts = [name.decode('utf-8', 'replace') if isinstance(name, bytes) else name for name in names]
    if not all(isinstance(name, str) for name in texts):
        raise InputError(f'{what} holds something that is no text.')
    return sorted(texts) if isinstance(names, set | frozenset) else texts


@dataclasses.dataclass
class _Machine:
    """What the steps work on.

    Attributes:
      stack: the values since the last MARK.
      outer: the stacks around it.
      memo: values that the pickle comes back to.
      room: how many items may still be copied, so that a few bytes cannot ask for many copies.
    """

    stack: list[Any]
    outer: list[list[Any]]
    memo: dict[int, Any]
    room: int

    def take(self, count: int | None) -> list[Any]:
        """The last values, off the stack; without a count those since the MARK."""
        if count is None:
            items, self.stack = self.stack, self.outer.pop()
        else:
            items = [self.stack.pop() for _ in range(count)][::-1]
        return items

    def make_room(self, values: Iterable[Any]) -> None:
        self.room -= sum(len(each) for each in values if isinstance(each, str | bytes | bytearray | list))
        if self.room < 0:
            raise ValueError('it copies more than it holds')


def plain_value(data: bytes) -> Any:
    """The value that a pickle describes; numpy's arrays of text become lists, its strings Python's.

    Raises ValueError, TypeError, LookupError or OverflowError where it is damaged or asks for more.
    """
    machine = _Machine([], [], {}, 4 * len(data))
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == 'STOP':
            break
        if name in _VALUES:
            machine.stack.append(argument)
        elif name in _EMPTY:
            machine.stack.append(_EMPTY[name]())
        elif name in _MADE_OF:
            items = machine.take(_COUNTS.get(name))
            machine.stack.append(_MADE_OF[name](items))
        elif name in _ADDED_TO:
            items = machine.take(_COUNTS.get(name))
            _ADDED_TO[name](machine.stack[-1], items)
        elif name in _STEPS:
            _STEPS[name](machine, argument)
        else:
            raise ValueError(f'it asks for {name}, which lists of conditions do not need')
    return machine.stack.pop()


def _scalars(values: Iterable[Any]) -> list[Any]:
    """The values, if they are plain: to hash tuples within tuples could exhaust the stack of C."""
    values = list(values)
    if not all(isinstance(value, _SCALARS) for value in values):
        raise TypeError('a key, or a member of a set, is neither text nor number')
    return values


def _append(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise TypeError('it appends to what is no list')
    target.extend(items)


def _add(target: Any, items: list[Any]) -> None:
    if not isinstance(target, set):
        raise TypeError('it adds to what is no set')
    target.update(_scalars(items))


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError('it sets an item of what is no dict')
    target.update(_dict(items))


def _dict(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(_scalars(items[::2]), items[1::2], strict=True))


def _mark(machine: _Machine, _: Any) -> None:
    machine.outer.append(machine.stack)
    machine.stack = []


def _put(machine: _Machine, place: int | None) -> None:
    machine.memo[len(machine.memo) if place is None else place] = machine.stack[-1]


def _get(machine: _Machine, place: int) -> None:
    machine.stack.append(machine.memo[place])


def _name(machine: _Machine, names: str | None) -> None:
    module, function = machine.take(2) if names is None else names.split(' ', 1)
    if not isinstance(module, str) or not isinstance(function, str):
        raise TypeError('it names a function by what is no text')
    name = f'{module}.{function}'
    name = name.replace('numpy.core.', 'numpy._core.').replace('__builtin__.', 'builtins.')  # older spellings
    if name not in _CALLS:
        raise ValueError(f'it asks for {name[:80]}, which lists of conditions do not need')
    machine.stack.append(_Call(_CALLS[name]))


def _reduce(machine: _Machine, _: Any) -> None:
    name, arguments = machine.take(2)
    if not isinstance(name, _Call) or not isinstance(arguments, tuple):
        raise TypeError('it calls what is no function')
    machine.make_room(arguments)
    machine.stack.append(name.make(*arguments))


def _build(machine: _Machine, _: Any) -> None:
    (state,) = machine.take(1)
    target = machine.stack[-1]
    if isinstance(target, _Dtype) and state[1] in ('<', '>', '|'):
        target.order = state[1]
    elif isinstance(target, _Array):
        machine.make_room(state)
        _, shape, dtype, _, data = state
        target[:] = _from_buffer(data, dtype, shape)
    else:
        raise TypeError('it gives a state to what has none')


class _Call(NamedTuple):
    """What is called in the place of a function that a pickle names."""

    make: Callable[..., Any]


class _Array(list):
    """The values of an array; BUILD tells them."""


@dataclasses.dataclass
class _Dtype:
    """The type of an array's values, such as U5; BUILD tells the order of its bytes."""

    code: str
    order: str = '|'


def _dtype(code: str, *_: Any) -> _Dtype:
    if not _DTYPE.fullmatch(code):
        raise ValueError(f'it has values of the type {code!r}')
    return _Dtype(code)


def _from_buffer(data: Any, dtype: Any, shape: Any, _: str = 'C') -> list[Any]:
    """The values of an array; how many is what the data say, so that no shape can ask for memory."""
    if not isinstance(dtype, _Dtype) or len(shape) != 1:
        raise ValueError('it has an array of several axes')
    if dtype.code[0] == 'O' and type(data) is list:
        return data
    if dtype.code[0] == 'O' or not isinstance(data, bytes | bytearray):
        raise TypeError(f'it has an array of {dtype.code} without its values')
    return np.frombuffer(data, np.dtype(dtype.order + dtype.code)).tolist()


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return _from_buffer(data, dtype, (1,))[0]


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding != 'latin1':  # as protocols 0 to 2 write them
        raise ValueError('it encodes what is no bytes')
    return text.encode(encoding)


def _ndarray(*_: Any) -> None:
    raise TypeError('it makes an array by itself')


_VALUES = {
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'),
    *('STRING', 'BINSTRING', 'SHORT_BINSTRING', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8'),
    *('UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
}
_EMPTY: dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_LIST': list,
    'EMPTY_TUPLE': tuple,
    'EMPTY_DICT': dict,
    'EMPTY_SET': set,
}
# How many values a step takes from the stack; the others take those since the MARK.
_COUNTS = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3, 'APPEND': 1, 'SETITEM': 2}
_MADE_OF: dict[str, Callable[[list[Any]], Any]] = {
    **dict.fromkeys(('TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3'), tuple),
    'LIST': list,
    'DICT': _dict,
    'FROZENSET': lambda items: frozenset(_scalars(items)),
}
_ADDED_TO: dict[str, Callable[[Any, list[Any]], None]] = {
    **dict.fromkeys(('APPEND', 'APPENDS'), _append),
    **dict.fromkeys(('SETITEM', 'SETITEMS'), _set_items),
    'ADDITEMS': _add,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(('PROTO', 'FRAME'), lambda machine, _: None),
    **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'), _put),
    **dict.fromkeys(('GET', 'BINGET', 'LONG_BINGET'), _get),
    **dict.fromkeys(('GLOBAL', 'STACK_GLOBAL'), _name),
    'MARK': _mark,
    'REDUCE': _reduce,
    'BUILD': _build,
}
_CALLS: dict[str, Callable[..., Any]] = {
    'builtins.set': lambda items: set(_scalars(items)),
    'builtins.frozenset': lambda items: frozenset(_scalars(items)),
    'builtins.bytes': lambda: b'',  # none at all, as protocols 0 to 2 write them
    '_codecs.encode': _encode,
    'numpy.ndarray': _ndarray,
    'numpy.dtype': _dtype,
    'numpy._core.multiarray._reconstruct': lambda *_: _Array(),
    'numpy._core.multiarray.scalar': _scalar,
    'numpy._core.numeric._frombuffer': _from_buffer,
}
