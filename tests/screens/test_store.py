"""A prepared compendium comes back to the bit, or is refused in one sentence."""

import json

import jax
import numpy as np
import pytest
from screens_for_tests import everything, measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.models import context_mean
from perturbjax.screens import store
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import Compendium, assemble

ARRAYS = ('values', 'context', 'perturbation', 'readout', 'cells', 'standard_error', 'halves')


@pytest.fixture
def compendium():
    """Two screens of different panels and scales, one of them with replicates."""
    rng = np.random.default_rng(0)
    replicates = [('a', name, rng.normal(size=3)) for name in ('control', 'g', 'g', 'g+ä', 'control', 'g')]
    single = [('b', 'g', (0.5, np.nan)), ('b', 'h', (-0.0, 1e-30))]
    screens = [average(measurements(replicates, ['x', 'y', 'z'], 'one')), measurements(single, ['v', 'w'], 'two')]
    return assemble(screens, ['log1p', 'z-score'])


def assert_same(one: Compendium, other: Compendium):
    assert one.vocabulary == other.vocabulary
    for first, second in zip(one.screens, other.screens, strict=True):
        assert (first.name, first.scale, first.present_contexts) == (
            second.name,
            second.scale,
            second.present_contexts,
        )
        for name in ARRAYS:
            here, there = getattr(first, name), getattr(second, name)
            assert (here is None) == (there is None)
            if here is not None:
                assert (here.dtype, here.shape, here.tobytes()) == (there.dtype, there.shape, there.tobytes())


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_it_comes_back_to_the_bit(tmp_path, compendium):
    settings = {'source': 'wide', 'path': ['ä.csv'], 'missing_values': [-13.2877]}
    store.write(compendium, tmp_path / 'prepared', settings)
    assert_same(store.read(tmp_path / 'prepared'), compendium)
    assert store.read(str(tmp_path / 'prepared')).fingerprint() == compendium.fingerprint()
    assert store.made_from(tmp_path / 'prepared') == settings
    assert [path.name for path in tmp_path.iterdir()] == ['prepared']


def test_settings_come_back_under_their_new_names(tmp_path, compendium, caplog):
    store.write(compendium, tmp_path / 'prepared', {'missing': [0], 'fields': {'kind': 'RNAi', 'context': 'c'}})
    new = {'missing_values': [0], 'fields': {'perturbation_type': 'RNAi', 'context': 'c'}}
    assert store.made_from(tmp_path / 'prepared') == new
    assert not caplog.records


def test_its_arrays_are_mapped_and_models_take_them(tmp_path):
    compendium = two_contexts()
    store.write(compendium, tmp_path / 'prepared')
    back = store.read(tmp_path / 'prepared')
    values = back.screens[0].values
    assert isinstance(values.base, np.memmap)
    assert type(values) is np.ndarray
    with pytest.raises(ValueError, match='read-only'):
        values[0] = 0
    fit = jax.jit(context_mean().fit)
    for one, other in zip(*(jax.tree.leaves(fit(each, everything(each))) for each in (back, compendium)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_later_one_takes_its_place(tmp_path, compendium):
    folder = tmp_path / 'deep' / 'prepared'
    store.write(compendium, folder)
    store.write(two_contexts(), folder)
    assert_same(store.read(folder), two_contexts())
    assert files(folder) == sorted(['compendium.json', 'vocabulary.json', *(f'0/{name}.npy' for name in ARRAYS[:4])])


def test_what_fails_halfway_leaves_what_was_there(tmp_path, compendium, monkeypatch):
    folder = tmp_path / 'prepared'
    store.write(two_contexts(), folder)
    save, saved = np.save, []

    def failing(path, *arguments, **settings):
        saved.append(path)
        if len(saved) > 3:
            raise OSError('no space left')
        save(path, *arguments, **settings)

    monkeypatch.setattr(np, 'save', failing)
    with pytest.raises(OSError, match='no space left'):
        store.write(compendium, folder)
    assert_same(store.read(folder), two_contexts())
    assert [path.name for path in tmp_path.iterdir()] == ['prepared']


def test_what_a_killed_run_left_is_no_obstacle(tmp_path, compendium):
    (tmp_path / '.prepared.writing' / '0').mkdir(parents=True)
    assert not store.exists(tmp_path / 'prepared')
    store.write(compendium, tmp_path / 'prepared')
    assert store.exists(tmp_path / 'prepared')
    assert [path.name for path in tmp_path.iterdir()] == ['prepared']


def test_something_else_is_not_overwritten(tmp_path, compendium):
    (tmp_path / 'notes').write_text('mine')
    with pytest.raises(InputError, match='something else than a prepared compendium is there'):
        store.write(compendium, tmp_path)
    assert (tmp_path / 'notes').read_text() == 'mine'


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def restate(path):
    path.write_text(path.read_text().replace('z-score', 'fitness'))


def newer(path):
    contents = json.loads(path.read_text())['contents'] | {'format': 99}
    path.write_text(json.dumps({'contents': contents, 'sha256': store._hash(json.dumps(contents))}))


@pytest.mark.parametrize(
    ('file', 'change', 'message'),
    [
        ('compendium.json', lambda path: path.unlink(), 'there is no complete prepared compendium here'),
        ('compendium.json', cut, 'compendium.json: .* cannot be used, because it is damaged'),
        ('compendium.json', restate, 'compendium.json: .* cannot be used, because it was changed'),
        ('compendium.json', newer, 'compendium.json: .* cannot be used, because it has format 99, not 1'),
        ('vocabulary.json', flip, 'vocabulary.json: .* cannot be used, because it was changed'),
        ('1/values.npy', flip, 'values.npy: .* cannot be used, because it was changed'),
        ('0/halves.npy', cut, r'halves.npy: .* cannot be used, because it has \d+ bytes, not \d+'),
        ('0/cells.npy', lambda path: path.unlink(), 'cells.npy: .* cannot be used, because it is missing'),
    ],
)
def test_one_that_is_not_as_it_was_written_is_refused(tmp_path, compendium, file, change, message):
    store.write(compendium, tmp_path / 'prepared')
    change(tmp_path / 'prepared' / file)
    with pytest.raises(InputError, match=message) as error:
        store.read(tmp_path / 'prepared')
    assert 'make it' in str(error.value)
    assert '\n' not in str(error.value)


def test_no_store_in_a_bucket(compendium):
    with pytest.raises(InputError, match='it must be on a local disk'):
        store.write(compendium, 'gs://bucket/prepared')
