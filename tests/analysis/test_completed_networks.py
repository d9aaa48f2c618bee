"""Networks of completed screens: which changes count as edges, by hand, and files that cannot be used."""

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
from etils import epath
from models_for_tests import one_unit, save_model
from screens_for_tests import two_contexts
from tables_for_tests import FIELDS, write_cells

from perturbjax.analysis.completed_networks import completed_networks
from perturbjax.errors import InputError
from perturbjax.models import lpm_released
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble
from perturbjax.screens.simulation import simulate
from perturbjax.screens.splits import TRAIN, make_split
from perturbjax.training import checkpoints
from perturbjax.training.fit import fit
from perturbjax.training.settings import TrainingSettings


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / 'cells.h5ad', np.tile(np.arange(8.0)[:, None], 2))


@pytest.fixture
def models(tmp_path):
    """Two seeds; context a measures no change of y by h, and they predict one."""
    weights = ([0, 2, -0.5], [0, 2, -1.5])
    return {'lpm': [save_model(tmp_path / 'lpm' / str(seed), one_unit(each)) for seed, each in enumerate(weights)]}


def test_the_model_adds_the_edges_that_were_not_measured(cells, models):
    table = completed_networks(models, two_contexts(), None, 'a', cells, FIELDS).set_index(['network', 'metric'])
    number = table['number'].unstack()['wasserstein']
    assert dict(number) == {'lpm': 4, 'measured': 3, 'random': 4}
    # g lies 10 from control in both readouts and h 20.
    value = table['value'].unstack()['wasserstein']
    np.testing.assert_allclose([value['lpm'], value['measured']], [60 / 4, 40 / 3], rtol=1e-6)


def test_the_strongest_edge_is_the_measured_one(cells, models):
    """h moves x by -0.5 to -1.5 in the model, but by 0 in the screen; g moves y by 2 there, which is the most."""
    table = completed_networks(models, two_contexts(), None, 'a', cells, FIELDS, top=1)
    value = table[table['metric'] == 'wasserstein'].set_index('network')['value']
    assert value['lpm'] == value['measured'] == 10


def test_profiles_outside_training_are_not_measured(cells, models):
    training = (np.array([True, False, True, True, True, True]),)
    table = completed_networks(models, two_contexts(), training, 'a', cells, FIELDS)
    number = table[table['metric'] == 'precision'].set_index('network')['number']
    assert dict(number) == {'lpm': 4, 'measured': 1, 'random': 4}


def test_counts_are_normalised_as_profiles_are(tmp_path, models):
    counts = np.random.default_rng(0).integers(1, 30, (8, 2)).astype(float)
    raw = write_cells(tmp_path / 'raw.h5ad', counts)
    data = anndata.read_h5ad(raw)
    data.X = np.log1p(100 * data.X / data.X.sum(axis=1, keepdims=True))
    data.write_h5ad(tmp_path / 'log.h5ad')
    given = models, two_contexts(), None, 'a'
    found = completed_networks(*given, raw, FIELDS, counts=True, target_sum=100)
    pd.testing.assert_frame_equal(found, completed_networks(*given, str(tmp_path / 'log.h5ad'), FIELDS))


def test_files_that_cannot_be_used(tmp_path, models):
    values = np.random.default_rng(0).normal(size=(4, 2))
    given = models, two_contexts(), None
    with pytest.raises(InputError, match='some values are negative or fractions; give the raw counts'):
        completed_networks(*given, 'a', write_cells(tmp_path / 'a.h5ad', values), FIELDS, counts=True)
    with pytest.raises(InputError, match=r"no readout of the file is in the screens \(the file has 'X', 'Y'"):
        completed_networks(*given, 'a', write_cells(tmp_path / 'b.h5ad', values, ('X', 'Y')), FIELDS)
    with pytest.raises(InputError, match="no perturbed gene of the file is in the screens .*'p'"):
        completed_networks(*given, 'a', write_cells(tmp_path / 'c.h5ad', values, genes=('control', 'p')), FIELDS)
    with pytest.raises(InputError, match="in 'b' control has 0"):
        completed_networks(*given, 'b', write_cells(tmp_path / 'd.h5ad', values), FIELDS)


def test_a_completed_screen_gives_a_better_network_than_its_measured_half(tmp_path):
    """LPM, half of the perturbations hidden in one of six simulated contexts; judged on cells that nothing has seen."""
    simulation = simulate(contexts=6, panels=1, doubles=0, measured=1.0)
    seen = np.random.default_rng(0).random(len(simulation.measurements[0].context)) < 0.5
    training, judging = (_rows(simulation.measurements[0], rows) for rows in (seen, ~seen))
    obs = pd.DataFrame({'cell': judging.context, 'gene': judging.perturbation})
    obs.index = [f'cell {i}' for i in range(len(obs))]
    cells = str(tmp_path / 'cells.h5ad')
    anndata.AnnData(judging.values, obs, pd.DataFrame(index=list(judging.readout))).write_h5ad(cells)
    compendium = assemble([average(training, counts=True)], ['log1p'])
    split = make_split(compendium, 'unseen_in_context', 0, context='context1', test=0.5, validation=0.0)
    folders = {'lpm': [_fit_lpm(compendium, split, epath.Path(tmp_path))]}
    asked = {'context': 'context1', 'path': cells, 'fields': FIELDS, 'counts': True, 'top': 800}
    table = completed_networks(folders, compendium, split.mask(TRAIN), **asked)
    table = table.pivot(index='network', columns='metric', values='value')
    for worse, margin in (('measured', 1.1), ('random', 1.3)):
        assert table['wasserstein']['lpm'] > margin * table['wasserstein'][worse]
        assert table['false_omission_rate']['lpm'] < table['false_omission_rate'][worse] / margin
    assert table['precision']['lpm'] > table['precision']['measured'] > table['precision']['random']


def _rows(cells, chosen):
    context, perturbation = cells.context[chosen], cells.perturbation[chosen]
    return dataclasses.replace(cells, values=cells.values[chosen], context=context, perturbation=perturbation)


def _fit_lpm(compendium, split, folder):
    settings = {'embedding_dim': 16, 'hidden_dims': [128, 128]}
    config = {'models': {'lpm': {'model': 'lpm_released', **settings}}}
    about = checkpoints.About(compendium.vocabulary, config, split.describe(compendium), 'lpm')
    recipe = TrainingSettings(0.005, 0.93, weight_decay=0.1, batch_size=500, epochs=40, checkpoint_every=40)
    checkpoint = folder / 'lpm' / '0'
    fit(lpm_released(**settings), compendium, split, recipe, 0, about, checkpoint, folder / 'metrics.jsonl')
    return checkpoint
