"""Plain values out of a pickle, without running anything in it.

A pickle is a program for a small stack machine, and its step REDUCE may call any function. Here
`pickletools` takes the program apart, and only the steps that build plain values are followed:
None, booleans, numbers, text, bytes, lists, tuples, sets, dicts, and numpy's arrays of text.
Every other step is refused before it does anything.

The meaning of the steps is in PEP 307, 3154 and 574, and in the source of `pickletools`.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable
from typing import Any

from perturbjax.readers.pickle_calls import CALLS, Array, Call, Dtype, from_buffer, scalars

_BROKEN = (ValueError, TypeError, LookupError, OverflowError)


@dataclasses.dataclass
class _Machine:
    """The state of the stack machine.

    Attributes:
      stack: the values since the last MARK.
      outer: the stacks that earlier MARKs set aside.
      memo: values that the pickle refers to again, by their index.
      room: how many items may still be copied; it stops a few bytes from asking for many copies.
    """

    stack: list[Any]
    outer: list[list[Any]]
    memo: dict[int, Any]
    room: int

    def take(self, count: int | None) -> list[Any]:
        """Takes the last `count` values off the stack, or all since the MARK where `count` is None."""
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
    """The value that a pickle describes; numpy's arrays of text become lists, its strings become Python's.

    Any protocol is read. Raises ValueError where the pickle is damaged or asks for more than plain values.
    """
    try:
        return _run(data)
    except _BROKEN as error:
        raise ValueError(str(error)) from error


def _run(data: bytes) -> Any:
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


def _append(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise TypeError('it appends to something that is not a list')
    target.extend(items)


def _add(target: Any, items: list[Any]) -> None:
    if not isinstance(target, set):
        raise TypeError('it adds to something that is not a set')
    target.update(scalars(items))


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError('it sets an item of something that is not a dict')
    target.update(_dict(items))


def _dict(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(scalars(items[::2]), items[1::2], strict=True))


def _mark(machine: _Machine, _: Any) -> None:
    machine.outer.append(machine.stack)
    machine.stack = []


def _put(machine: _Machine, index: int | None) -> None:
    machine.memo[len(machine.memo) if index is None else index] = machine.stack[-1]


def _get(machine: _Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def _name(machine: _Machine, names: str | None) -> None:
    module, function = machine.take(2) if names is None else names.split(' ', 1)
    if not isinstance(module, str) or not isinstance(function, str):
        raise TypeError('it names a function by something that is not text')
    name = f'{module}.{function}'
    name = name.replace('numpy.core.', 'numpy._core.').replace('__builtin__.', 'builtins.')  # older spellings
    if name not in CALLS:
        raise ValueError(f'it asks for {name[:80]}, which lists of conditions do not need')
    machine.stack.append(Call(CALLS[name]))


def _reduce(machine: _Machine, _: Any) -> None:
    name, arguments = machine.take(2)
    if not isinstance(name, Call) or not isinstance(arguments, tuple):
        raise TypeError('it calls something that is not a function')
    machine.make_room(arguments)
    machine.stack.append(name.make(*arguments))


def _build(machine: _Machine, _: Any) -> None:
    (state,) = machine.take(1)
    target = machine.stack[-1]
    if isinstance(target, Dtype) and state[1] in ('<', '>', '|'):
        target.order = state[1]
    elif isinstance(target, Array):
        machine.make_room(state)
        _, shape, dtype, _, data = state
        target[:] = from_buffer(data, dtype, shape)
    else:
        raise TypeError('it sets the state of something that has none')


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
# How many values these steps take from the stack; all other steps take the values since the MARK.
_COUNTS = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3, 'APPEND': 1, 'SETITEM': 2}
_MADE_OF: dict[str, Callable[[list[Any]], Any]] = {
    **dict.fromkeys(('TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3'), tuple),
    'LIST': list,
    'DICT': _dict,
    'FROZENSET': lambda items: frozenset(scalars(items)),
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
