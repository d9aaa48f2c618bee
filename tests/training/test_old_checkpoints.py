"""Checkpoints of format 2, laid out as they were, are read, resumed and asked for their embeddings."""

import numpy as np
import pytest
from etils import epath
from screens_for_tests import measurements

from perturbjax.analysis.embeddings import has_tables, read_embeddings
from perturbjax.models.lpm import lpm
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.fit import read_params
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train

MODEL = lpm(2, (4,), dropout=0.1)
SETTINGS = TrainingSettings(batch_size=20, epochs=3, shards=4)


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    rows = [(c, p, rng.normal(size=3)) for c in 'ab' for p in ['control', *(f'g{i}' for i in range(9))]]
    return assemble([measurements(rows, ['x', 'y', 'z'])], ['log1p'])


def trained(compendium, folder, epochs, **split):
    split = make_split(compendium, split_name(split), 1, **split)
    about = checkpoints.About(compendium.vocabulary, {'training': {'batch': 20}}, split.describe(compendium), 'lpm')
    writer = MetricWriter(epath.Path(folder) / 'metrics.jsonl', 'lpm', 1)
    settings = SETTINGS._replace(epochs=epochs)
    return train(MODEL.learner, compendium, split, settings, 5, about, epath.Path(folder) / 'lpm' / '1', writer)


def split_name(settings):
    return 'unseen_in_context' if 'context' in settings else 'unseen_single'


def as_format_2(params):
    """Params as format 2 had them: one member without its axis, and the counts beside the weights."""
    counts = {f'{name.removesuffix("_counts")}s': each for name, each in params['constants'].items()}
    weights = params['weights']
    if len(weights['kernel_0']) == 1:
        weights = {name: each[0] for name, each in weights.items()}
    return {'weights': weights, **counts}


def rewrite(folder, monkeypatch):
    """Saves the latest checkpoint of a folder again, in the layout of format 2."""
    saved = checkpoints.read(folder)
    with checkpoints.open_folder(folder) as manager:
        step = manager.latest_step()
        items = {'state': checkpoints.args.StandardRestore(), 'progress': checkpoints.args.JsonRestore()}
        restored = manager.restore(step, args=checkpoints.args.Composite(**items))
        state, best = restored['state']['state'], restored['state'].get('best')
        old = {'weights': state['weights'], 'moments': state['opt_state'], 'seen': state['row_steps']}
        monkeypatch.setattr(checkpoints, 'FORMAT', 2)
        learnt = {'state': old, 'best': best and best['weights']}
        about = saved.about._replace(label='')
        checkpoints.save(manager, step + 100, as_format_2(saved.params), about, learnt, restored['progress'])
        monkeypatch.undo()


@pytest.mark.parametrize('split', [{'context': 'b'}, {'validation': 0.0}], ids=['with validation', 'without'])
def test_an_old_run_goes_on_bit_for_bit(compendium, tmp_path, monkeypatch, split):
    whole = trained(compendium, tmp_path / 'whole', 3, **split)
    trained(compendium, tmp_path / 'old', 2, **split)
    rewrite(tmp_path / 'old' / 'lpm' / '1', monkeypatch)
    again = trained(compendium, tmp_path / 'old', 3, **split)
    for name, each in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], each)


def test_an_old_checkpoint_is_read(compendium, tmp_path, monkeypatch):
    folder = tmp_path / 'lpm' / '1'
    params = trained(compendium, tmp_path, 1, context='b')
    tables = read_embeddings(folder)
    rewrite(folder, monkeypatch)
    read = read_params(MODEL, folder)
    assert read.num_members == 1
    for name, each in params.constants.items():
        np.testing.assert_array_equal(read.constants[name], each)
    assert has_tables(folder)
    np.testing.assert_array_equal(read_embeddings(folder).X, tables.X)
    assert checkpoints.read(folder).about.config == {'training': {'batch_size': 20}}
