"""Checkpoints of format 2, laid out as they were, are read, resumed and asked for their embeddings."""

import json

import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import CheckpointManager
from screens_for_tests import measurements

from perturbjax.analysis.embeddings import has_tables, read_embeddings
from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm_released
from perturbjax.models.own_readout import own_readout
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split
from perturbjax.training import checkpoints
from perturbjax.training.fit import read_params
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train

MODEL = lpm_released(2, (4,), dropout=0.1)
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


def rewrite(folder):
    """Saves the latest checkpoint of a folder again, in the layout of format 2 and as Orbax's manager did."""
    saved = checkpoints.read(folder)
    step = max(int(each.name) for each in folder.iterdir())
    path, args = epath.Path(folder), checkpoints.args
    items = args.Composite(state=args.StandardRestore(), progress=args.JsonRestore())
    with CheckpointManager(path) as manager:
        restored = manager.restore(step, args=items)
    state, best = restored['state']['state'], restored['state'].get('best')
    old = {'weights': state['weights'], 'moments': state['opt_state'], 'seen': state['row_steps']}
    learnt = {'state': old, 'best': best and best['weights']}
    items = {
        'params': args.StandardSave(as_format_2(saved.params)),
        'vocabulary': args.JsonSave({'format': 2, **json.loads(saved.about.vocabulary.to_json())}),
        'config': args.JsonSave(dict(saved.about.config)),
        'split': args.JsonSave(dict(saved.about.split)),
        'state': args.StandardSave(learnt),
        'progress': args.JsonSave(restored['progress']),
    }
    with CheckpointManager(path) as manager:
        manager.save(step + 100, args=args.Composite(**items), force=True)


@pytest.mark.parametrize('split', [{'context': 'b'}, {'validation': 0.0}], ids=['with validation', 'without'])
def test_an_old_run_goes_on_bit_for_bit(compendium, tmp_path, split):
    whole = trained(compendium, tmp_path / 'whole', 3, **split)
    trained(compendium, tmp_path / 'old', 2, **split)
    rewrite(tmp_path / 'old' / 'lpm' / '1')
    again = trained(compendium, tmp_path / 'old', 3, **split)
    for name, each in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], each)


def test_an_old_checkpoint_is_read(compendium, tmp_path):
    folder = tmp_path / 'lpm' / '1'
    params = trained(compendium, tmp_path, 1, context='b')
    tables = read_embeddings(folder)
    rewrite(folder)
    read = read_params(MODEL, folder)
    assert read.num_members == 1
    for name, each in params.constants.items():
        np.testing.assert_array_equal(read.constants[name], each)
    assert has_tables(folder)
    np.testing.assert_array_equal(read_embeddings(folder).X, tables.X)
    assert checkpoints.read(folder).about.config == {'training': {'batch_size': 20}}


def test_params_without_a_part_that_the_model_has_now_are_refused_in_a_sentence(compendium, tmp_path):
    """As an earlier `own_readout` saved them, which did not know of the centre of contexts."""
    model, split = own_readout(), make_split(compendium, 'unseen_single', 1)
    params = model.fit(compendium, split.mask(TRAIN))._asdict()
    del params['centre']
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium), 'own_readout')
    with checkpoints.open_folder(tmp_path) as manager:
        checkpoints.save(manager, 0, params, about)
    with pytest.raises(InputError, match=r"the checkpoint lacks 'centre', .* train again, in another workdir\."):
        read_params(model, tmp_path, compendium, split.mask(TRAIN))
