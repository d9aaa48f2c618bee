"""Settings as plain values."""

import json
import pathlib

import ml_collections
import numpy as np
import pytest

from perturbjax.config import parse
from perturbjax.errors import InputError
from perturbjax.plain import plain


def test_paths_and_numbers_of_numpy_become_plain():
    given = {'path': pathlib.Path('a/b'), 'n': np.int64(3), 'x': np.float32(0.5), 'seeds': np.arange(2), 'b': np.True_}
    found = plain({'data': given, 'models': ({'rank': np.int32(2)}, [None])}, '')
    assert found['data'] == {'path': str(pathlib.Path('a/b')), 'n': 3, 'x': 0.5, 'seeds': [0, 1], 'b': True}
    assert found['models'] == ({'rank': 2}, [None])
    assert json.dumps(found)
    assert plain(ml_collections.ConfigDict({'a': {'b': np.str_('c')}}), '') == {'a': {'b': 'c'}}


@pytest.mark.parametrize('value', [{1, 2}, b'text', 3j, len])
def test_what_a_config_cannot_keep_is_named(value):
    with pytest.raises(InputError, match=r'^data.seeds\[1\]: .* is of type \w+, which a config cannot keep'):
        plain({'seeds': [0, value]}, 'data')


def test_a_config_of_such_values_is_the_same_as_one_of_plain_ones():
    config = {
        'seed': np.int64(1),
        'data': {'source': 'h5ad', 'path': pathlib.Path('/a.h5ad')},
        'split': {'name': 'unseen_single', 'seeds': np.arange(2)},
        'models': {'mean': {}},
    }
    as_they_are = parse(config)
    assert as_they_are.seed == 1
    assert as_they_are.split_seeds == [0, 1]
    assert as_they_are.plain == parse(ml_collections.ConfigDict(plain(config, ''))).plain
    assert as_they_are.plain['data']['path'] == '/a.h5ad'
