import contextlib
import json
import os
import pathlib
import pickle
import struct
import time

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from perturbjax.errors import InputError
from perturbjax.readers import pickle_calls, split_file, unpickle
from perturbjax.readers.split_file import read_split_lists
from perturbjax.readers.unpickle import plain_value

PROTOCOLS = range(6)
SPLIT = {'train': ['ctrl', 'A+ctrl', 'ctrl+B'], 'val': ['A+B'], 'test': ['C+ctrl']}


def write(folder, data):
    path = folder / 'split.pkl'
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_split_comes_back(tmp_path, protocol):
    assert read_split_lists(write(tmp_path, pickle.dumps(SPLIT, protocol))) == SPLIT


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('kind', ['object', 'U', 'S', '>U7'])
def test_arrays_of_text_become_lists(tmp_path, protocol, kind):
    arrays = {name: np.array(names, kind) for name, names in SPLIT.items()}
    assert read_split_lists(write(tmp_path, pickle.dumps(arrays, protocol))) == SPLIT


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_sets_are_sorted_and_numpys_strings_are_text(tmp_path, protocol):
    lists = {'train': {'b', 'a'}, 'val': frozenset(['d', 'c']), 'test': (np.str_('é+ctrl'), np.bytes_(b'f'), b'g')}
    path = write(tmp_path, pickle.dumps(lists, protocol))
    assert read_split_lists(path) == {'train': ['a', 'b'], 'val': ['c', 'd'], 'test': ['é+ctrl', 'f', 'g']}


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_the_names_of_numpy_1(protocol):
    data = pickle.dumps({'train': np.array(['A', 'B'], object), 'test': np.array(['C'])}, protocol)
    older = data.replace(b'numpy._core.', b'numpy.core.').replace(b'\x16numpy.core.', b'\x15numpy.core.')
    older = older.replace(b'\x13numpy.core.', b'\x12numpy.core.')
    assert older != data
    assert plain_value(older) == {'train': ['A', 'B'], 'test': ['C']}


def test_as_gears_makes_them():
    """`groupby('split')` of the conditions, each list `unique().tolist()`."""
    obs = pd.DataFrame({'condition': pd.Categorical(['ctrl', 'A+ctrl', 'ctrl', 'A+B']), 'split': list('xxxy')})
    lists = {name: part['condition'].unique().tolist() for name, part in obs.groupby('split')}
    assert plain_value(pickle.dumps(lists)) == {'x': ['ctrl', 'A+ctrl'], 'y': ['A+B']}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    SCALARS | st.sets(SCALARS) | st.frozensets(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(SCALARS, inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(PLAIN, st.integers(0, 5), st.booleans())
def test_plain_values_come_back_as_pickle_gives_them(value, protocol, twice):
    value = [value, value] if twice else value  # the second from the memo
    found = plain_value(pickle.dumps(value, protocol))
    assert found == value
    assert repr(found) == repr(pickle.loads(pickle.dumps(value, protocol)))


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda noise: pickle.dumps(SPLIT)[:-1] + noise + b'.'))
def test_noise_is_read_or_refused_and_nothing_else(tmp_path_factory, noise):
    path = write(tmp_path_factory.getbasetemp(), noise)
    with contextlib.suppress(InputError):
        read_split_lists(path)


class Attack:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stateful:
    """Pickles as a call with a state, which BUILD hands to `__setstate__`."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        pathlib.Path(state['path']).touch()


class WithArguments:
    """Pickles as NEWOBJ_EX from protocol 4 on."""

    def __new__(cls, *, path):
        pathlib.Path(path).touch()
        return super().__new__(cls)

    def __init__(self, *, path):
        self.path = path

    def __getnewargs_ex__(self):
        return (), {'path': self.path}


def nested(attack):
    return {'train': ['A', ({'deep': [{attack: 1}, attack]},)], 'test': ['B']}


ATTACKS = {
    'system': lambda path: Attack(os.system, f'echo > {path}'),
    'eval': lambda path: Attack(eval, f'open({path!r}, "w").close()'),
    'exec': lambda path: Attack(exec, f'open({path!r}, "w").close()'),
    'open': lambda path: Attack(open, path, 'w'),
    'mkdir': lambda path: Attack(os.mkdir, path),
    'path': lambda path: Attack(pathlib.Path.touch, pathlib.Path(path)),
    'numpy': lambda path: Attack(np.savetxt, path, [1]),
    'by map': lambda path: Attack(list, Attack(map, os.mkdir, [path])),
    'in an array': lambda path: np.array(['A', Attack(os.mkdir, path)], object),
    'state': Stateful,
    'arguments': lambda path: WithArguments(path=path),
    'in its split': lambda path: nested(Attack(os.mkdir, path)),
    'in a list': lambda path: {'train': ['A', Attack(os.mkdir, path)], 'test': ['B']},
    'as a name': lambda path: {Attack(os.mkdir, path): ['A']},
    'in a set': lambda path: {'train': {Attack(os.mkdir, path)}},
}


# Before protocol 2 nothing hands arguments to __new__.
CASES = [(attack, protocol) for attack in ATTACKS for protocol in PROTOCOLS if attack != 'arguments' or protocol > 1]


@pytest.mark.filterwarnings('ignore:unclosed file')
@pytest.mark.parametrize(('attack', 'protocol'), CASES)
def test_an_attack_is_refused_and_does_nothing(tmp_path, attack, protocol):
    target = tmp_path / 'made'
    data = pickle.dumps(ATTACKS[attack](str(target)), protocol)
    target.unlink(missing_ok=True)  # making the attack may have set it off
    path = write(tmp_path, data)
    with pytest.raises(InputError, match='no split is read from this pickle'):
        read_split_lists(path)
    assert not target.exists()
    pickle.loads(data)
    assert target.exists()  # so the attack is one


def operations(*pieces):
    return b''.join(pieces) + b'.'


def text(value):
    return b'X' + struct.pack('<I', len(value)) + value.encode()


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (operations(b'cos\nsystem\n(S"true"\ntR'), 'os.system'),
        (operations(b'(S"true"\nios\nsystem\n'), 'INST'),
        (operations(b'(cos\nsystem\nS"true"\no'), 'os.system'),
        (operations(b'(cbuiltins\nset\nS"true"\no'), 'OBJ'),
        (operations(b'cbuiltins\nset\n)\x81'), 'NEWOBJ'),
        (operations(b'Pnumber 1\n'), 'PERSID'),
        (operations(text('number 1'), b'Q'), 'BINPERSID'),
        (operations(b'\x82\x01'), 'EXT1'),
        (operations(b'\x84\x01\x00\x00\x00'), 'EXT4'),
        (operations(b'\x97'), 'NEXT_BUFFER'),
        (operations(b'0'), 'POP'),
        (operations(text('os'), text('system'), b'\x93'), 'os.system'),
        (operations(text('os.'), text('system'), b'\x93'), 'os..system'),
        (operations(text('builtins'), text('set.__class__'), b'\x93'), 'builtins.set.__class__'),
        (operations(text('os'), b'q\x01', text('system'), b'q\x02h\x01h\x02\x93'), 'os.system'),
        (operations(b'K\x01K\x02\x93'), 'not text'),
        (operations(text('os'), text('system'), b'\x86(K\x01tR'), 'not a function'),
        (operations(b'cnumpy\nndarray\n(K\x02tR'), 'an array directly'),
        (operations(b'cnumpy\ndtype\n(', text('O8,O8'), b'tR'), "type 'O8,O8'"),
        (operations(b'cnumpy\ndtype\n(', text('V8'), b'tR'), "type 'V8'"),
        (operations(b'c_codecs\nencode\n(', text('A'), text('rot13'), b'tR'), 'encodes'),
        (operations(b']K\x01b'), 'state of something that has none'),
        (operations(b'K\x01K\x02a'), 'not a list'),
        (operations(b'](K\x01\x90'), 'not a set'),
        (operations(b']K\x01K\x02s'), 'not a dict'),
        (operations(b'}]K\x02s'), 'neither text nor number'),
        (operations(b'h\x05'), '5'),
        (operations(b'a'), 'no split is read'),
        (operations(b't'), 'no split is read'),
        (operations(b'\x87'), 'no split is read'),
        (b'', 'exhausted'),
        (b'}', 'exhausted'),
        (b'PK\x03\x04', 'no split is read'),
        (b'\x80\x04\x95\xff', 'no split is read'),
    ],
)
def test_steps_that_no_list_needs_are_refused(tmp_path, data, reason):
    with pytest.raises(InputError, match=reason) as told:
        read_split_lists(write(tmp_path, data))
    assert str(told.value).endswith('save the lists as JSON.')


def array_of(code, data, shape=b'K\x01\x85'):
    """An array whose state says this; `data` are opcodes."""
    begin = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR'
    return operations(begin, b'(K\x01', shape, b'cnumpy\ndtype\n(', text(code), b'tR', b'\x89', data, b'tb')


@pytest.mark.parametrize(
    'data',
    [
        operations(b'\x8e', struct.pack('<Q', 2**40), b'A'),  # bytes that are not there
        operations(b'\x96', struct.pack('<Q', 2**40), b'A'),
        operations(b'\x8d', struct.pack('<Q', 2**40), b'A'),
        operations(b'\x95', struct.pack('<Q', 2**62)),  # a frame
        operations(b'\x8b', struct.pack('<i', 2**31 - 1), b'1'),  # a number of so many bytes
        operations(b'I', b'9' * 5000, b'\n'),  # more digits than Python reads
        operations(b']r', struct.pack('<I', 2**32 - 1)),  # a place in the memo
        operations(b']', b'q\x00', b'h\x00' * 50_000, b'l'),
        array_of('S1', b'C\x01A', b'\x8a\x06\x00\x00\x00\x00\x00\x01\x85'),  # a shape of 2**40
        array_of('U2147483647', b'C\x04A\0\0\0'),
        array_of('U0', b'C\x00'),
        array_of('S3', b'C\x04ABCD'),
        array_of('O8', b'C\x01A'),
        array_of('S1', b']'),
        array_of('S1', b'C\x01A', b'K\x01K\x01\x86'),  # two axes
        operations(text('x' * 10_000), b'q\x00', b'c_codecs\nencode\nq\x010h\x01h\x00' + text('latin1') + b'\x86R'),
        operations(text('x' * 100_000), b'q\x00', (b'c_codecs\nencode\n(h\x00' + text('latin1') + b'tR') * 1000),
        operations(b'](' + b'K\x01' * 9000 + b'eq\x00', b'cbuiltins\nset\nq\x01', b'h\x01h\x00\x85R' * 20_000),
        operations(b'}', b')' + b'\x85' * 150_000 + b'K\x01s'),  # a tuple in a tuple in a tuple as a key
        operations(b')' + b'\x85' * 150_000, b'q\x00', text('system'), b'\x93'),
        operations(b'c_codecs\nencode\n', text('x'), b')' + b'\x85' * 150_000, b'\x86R'),
        operations(b'cnumpy\ndtype\n(', text('O8'), b'tR(K\x03', b')' + b'\x85' * 150_000, b'tb'),
        b'(' * 400_000,
        b'\x8f' * 400_000,
    ],
)
def test_bombs_are_refused_soon_and_in_little_memory(tmp_path, data):
    start = time.perf_counter()
    with pytest.raises(InputError):
        read_split_lists(write(tmp_path, data))
    assert time.perf_counter() - start < 10


def test_a_large_file_is_not_even_read(tmp_path):
    path = tmp_path / 'large.pkl'
    with open(path, 'wb') as file:
        file.truncate(2**40)  # of which nothing is on the disk
    with pytest.raises(InputError, match='1099511627776 bytes, more than lists of conditions need'):
        read_split_lists(str(path))


@pytest.mark.parametrize(
    ('value', 'reason'),
    [
        (['A', 'B'], 'it holds no lists by name'),
        ({'train': 'A'}, "'train' is not a list of conditions"),
        (
            {'test_subgroup': {'combo_seen0': ['A+B']}},
            "'test_subgroup' is not a list of conditions; is it the file of sub",
        ),
        ({'train': ['A', 1]}, "'train' holds something that is not text"),
        ({'train': [['A']]}, "'train' holds something that is not text"),
        ({'train': [set]}, "'train' holds something that is not text"),
    ],
)
def test_what_is_no_split_is_told(tmp_path, value, reason):
    with pytest.raises(InputError, match=reason):
        read_split_lists(write(tmp_path, pickle.dumps(value)))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match='there is no such file'):
        read_split_lists(str(tmp_path / 'none.pkl'))


def test_a_text_file_is_told(tmp_path):
    with pytest.raises(InputError, match='no split is read from this pickle'):
        read_split_lists(write(tmp_path, json.dumps(SPLIT).encode()))


def test_pickle_itself_is_not_used():
    for module in (unpickle, pickle_calls, split_file):
        assert 'import pickle\n' not in pathlib.Path(module.__file__).read_text()
