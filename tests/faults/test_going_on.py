"""What may differ from the launch that made a workdir: where the data lie, how it is judged, and more epochs."""

import json

import pytest
from etils import epath

from experiments import tiny
from perturbjax.config import parse, refuse_changed, refuse_other_config, without_paths
from perturbjax.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(changed().plain))
    return epath.Path(tmp_path)


def changed(**data):
    config = tiny.get_config()
    config.data = {'source': 'h5ad', 'path': '/old/a.h5ad', 'scale': 'log1p', **data}
    return parse(config)


def with_epochs(epochs):
    config = tiny.get_config()
    config.data = dict(changed().data)
    config.training.epochs = epochs
    return parse(config)


def test_the_data_may_have_moved_but_not_changed(folder):
    refuse_other_config(changed(path='/new/a.h5ad'), folder)
    with pytest.raises(InputError, match="another config .data.scale is 'lfc', there 'log1p'"):
        refuse_other_config(changed(path='/new/a.h5ad', scale='lfc'), folder)
    (folder / 'data.json').write_text('{"a": 1}')
    refuse_changed(folder / 'data.json', '{"a": 1}')
    for content in (b'{"a": 2}', b'', b'\xff\x00'):
        (folder / 'data.json').write_bytes(content)
        with pytest.raises(InputError, match=r'data.json: the data are not those .* or the file was changed'):
            refuse_changed(folder / 'data.json', '{"a": 1}')


def test_paths_of_several_screens_may_differ_and_nothing_else():
    first = {'screens': {'a': {'path': 'x', 'scale': 'log1p'}, 'b': {'path': 'y', 'fields': {'path': 'z'}}}}
    kept = without_paths(first)
    assert kept == {'data.screens.a.scale': 'log1p', 'data.screens.b.fields.path': 'z'}


def test_more_epochs_go_on_only_where_the_launch_trains(folder):
    refuse_other_config(with_epochs(5), folder, trains=True)
    for epochs, trains in ((5, False), (2, True), (2, False)):
        with pytest.raises(InputError, match=f'training.epochs is {epochs}, there 3'):
            refuse_other_config(with_epochs(epochs), folder, trains)


@pytest.mark.parametrize('content', [b'', b'{"seed": 0', b'\xff\xfe', b'[]', b'null', b'3'])
def test_a_damaged_config_is_told(folder, content):
    (folder / 'config.json').write_bytes(content)
    with pytest.raises(InputError, match=r'config.json: it is damaged|made with another config'):
        refuse_other_config(changed(), folder)
