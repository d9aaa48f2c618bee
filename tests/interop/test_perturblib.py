"""perturblib's checkpoints: the same predictions, there and back, and files that are wrong or mean harm."""

import itertools
import os
import pathlib
import pickle
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from perturbjax.analysis.completion import read_model
from perturbjax.analysis.embeddings import read_embeddings
from perturbjax.errors import InputError
from perturbjax.interop.perturblib import export_perturblib, import_perturblib, main
from perturbjax.models import Query
from perturbjax.models.lpm import lpm_released
from perturbjax.models.model import Fitted
from perturbjax.screens.vocabulary import Vocabulary
from perturbjax.training import checkpoints

SYMBOLS = {
    'context_symbols': ['LINCS_A549', 'Replogle22_K562'],
    'perturb_symbols': ['Control', 'CRISPRi_STAT1', 'CRISPR-KO_STAT1', 'aspirin-10uM', '(%2B)-JQ1-0.5uM', 'aspirin'],
    'readout_symbols': ['Transcriptome_STAT1', 'Viability_7d', 'MYC'],
}
OURS = Vocabulary(
    ('LINCS_A549', 'Replogle22_K562'),
    (
        'control',
        'CRISPRi_STAT1',
        'CRISPR-KO_STAT1',
        'Compound_aspirin-10uM',
        'Compound_(+)-JQ1-0.5uM',
        'aspirin',
    ),
    ('STAT1', 'Viability_7d', 'MYC'),
)


@pytest.fixture
def torch():
    return pytest.importorskip('torch', reason='needs torch: pip install perturbjax[torch]')


def content(torch, layers=2, mode='mean', **arguments):
    """What perturblib saves of an LPM with random weights."""
    torch.manual_seed(layers)
    given = {'embedding_dim': 3, 'num_layers': layers, 'hidden_dim': 5, 'embedding_aggregation_mode': mode}
    sizes = [9, *[5] * layers, 1]
    state = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        state[f'predictor.{3 * layer}.weight'] = torch.randn(fan_out, fan_in)
        state[f'predictor.{3 * layer}.bias'] = torch.randn(fan_out)
    for axis in ('context', 'perturb', 'readout'):
        state[f'{axis}_embedding_layer.weight'] = torch.randn(len(SYMBOLS[f'{axis}_symbols']), 3)
    return 'LPM', given | arguments, state | SYMBOLS


def saved(torch, path, what):
    torch.save(what, path)
    return str(path)


def their_predictions(torch, model, rows):
    """perturblib's forward pass over rows of (context, parts, readout), all as ids."""
    _, arguments, state = model
    context, readout = (torch.tensor([row[place] for row in rows]) for place in (0, 2))
    flat = torch.tensor([part for row in rows for part in row[1]])
    offsets = torch.tensor(np.cumsum([0, *(len(row[1]) for row in rows)])[:-1])
    bags = torch.nn.EmbeddingBag.from_pretrained(
        state['perturb_embedding_layer.weight'], mode=arguments['embedding_aggregation_mode']
    )
    tables = [state[f'{axis}_embedding_layer.weight'] for axis in ('context', 'readout')]
    x = torch.cat([tables[0][context], bags(flat, offsets), tables[1][readout]], dim=1)
    for layer in range(arguments['num_layers'] + 1):
        x = torch.nn.functional.linear(torch.relu(x) if layer else x, *_dense(state, layer))
    return x[:, 0].numpy()


def _dense(state, layer):
    return state[f'predictor.{3 * layer}.weight'], state[f'predictor.{3 * layer}.bias']


def our_predictions(folder, rows):
    """The same by names, from the checkpoint folder alone."""
    model = read_model(folder)
    names = model.about.vocabulary
    query = Query(
        np.array([row[0] for row in rows], np.int32),
        names.perturbation_ids(['+'.join(names.perturbations[part] for part in row[1]) for row in rows]),
        np.arange(len(names.readouts), dtype=np.int32),
    )
    return model.predict(query)[np.arange(len(rows)), [row[2] for row in rows]]


def test_the_golden_checkpoint_predicts_what_perturblib_does(torch, golden, tmp_path):
    import_perturblib(str(golden / 'perturblib_model.pt'), tmp_path / 'lpm' / '13', seed=13)
    rows = pd.read_csv(golden / 'perturblib_predictions.csv')
    model = read_model(tmp_path / 'lpm' / '13')
    names = model.about.vocabulary
    perturbations = names.perturbation_ids([name.replace('Control', 'control') for name in rows['perturbation']])
    readouts = names.readout_ids(names.readouts)
    answer = model.predict(Query(names.context_ids(rows['context']), perturbations, readouts))
    found = answer[np.arange(len(rows)), names.readout_ids(rows['readout'])]
    np.testing.assert_allclose(found, rows['prediction'], rtol=0, atol=1e-5)
    tables = read_embeddings(tmp_path / 'lpm' / '13')
    assert list(tables.obs['name'][:3]) == ['ctxA', 'ctxB', 'control']
    assert set(tables.obs['split']) == {13}


def test_the_golden_checkpoint_comes_back_as_it_was(torch, golden, tmp_path):
    import_perturblib(str(golden / 'perturblib_model.pt'), tmp_path / 'lpm' / '13')
    export_perturblib(tmp_path / 'lpm' / '13', str(tmp_path / 'back.pt'))
    assert_same(torch, golden / 'perturblib_model.pt', tmp_path / 'back.pt')


def assert_same(torch, one, other):
    (model, arguments, state), (again, their_arguments, their_state) = (
        torch.load(path, weights_only=True) for path in (one, other)
    )
    assert (model, arguments) == (again, their_arguments)
    assert set(state) == set(their_state)
    for name, value in state.items():
        same = value == their_state[name]
        assert same if isinstance(value, list) else same.all()


@pytest.mark.parametrize(('layers', 'mode'), [(1, 'mean'), (2, 'sum'), (3, 'max')])
def test_any_depth_and_aggregation(torch, tmp_path, layers, mode):
    model = content(torch, layers, mode)
    import_perturblib(saved(torch, tmp_path / 'model.pt', model), tmp_path / 'lpm' / '1')
    rows = [(0, [0], 1), (1, [1], 0), (0, [2, 4], 2), (1, [1, 3, 5], 1), (1, [2, 2, 1], 0)]
    expected = their_predictions(torch, model, rows)
    np.testing.assert_allclose(our_predictions(tmp_path / 'lpm' / '1', rows), expected, rtol=0, atol=1e-5)


def test_names_are_translated_and_come_back(torch, tmp_path):
    path = saved(torch, tmp_path / 'model.pt', content(torch, dropout=0.1, optimizer_name='SGD'))
    import_perturblib(path, tmp_path / 'lpm' / '1')
    about = checkpoints.read(tmp_path / 'lpm' / '1').about
    assert about.vocabulary == OURS
    export_perturblib(tmp_path / 'lpm' / '1', str(tmp_path / 'back.pt'), readout_type='Ignored')
    assert_same(torch, path, tmp_path / 'back.pt')


def native(folder, widths=3, hidden=(5, 5), counts=(2, 6, 3), models=None):
    """A checkpoint as training writes it."""
    sizes = zip(('context', 'perturbation', 'readout'), (2, 6, 3), counts)
    constants = {f'{axis}_counts': (np.arange(size) < count).astype(np.int32) for axis, size, count in sizes}
    weights, statistics = lpm_released(widths, hidden).learner.init(jax.random.key(0), constants)
    fitted = Fitted(jax.tree.map(lambda each: each[None], weights), statistics, constants)
    settings = {'embedding_dim': widths, 'hidden_dims': hidden, 'aggregation': 'mean', 'dropout': 0.25}
    settings['model'] = 'lpm_released'
    config = {'models': models or {'lpm': settings}, 'training': {'batch_size': 7}}
    with checkpoints.open_folder(folder) as manager:
        checkpoints.save(manager, 0, fitted, checkpoints.About(OURS, config, {'seed': 1}))
    return folder


def test_our_own_checkpoint_goes_there_and_back(torch, tmp_path):
    folder = native(tmp_path / 'lpm' / '1')
    export_perturblib(folder, str(tmp_path / 'model.pt'), readout_type='Transcriptome')
    model = torch.load(tmp_path / 'model.pt', weights_only=True)
    assert model[1] == {
        'embedding_dim': 3, 'optimizer_name': 'AdamW', 'learning_rate': 0.002, 'learning_rate_decay': 0.99,
        'num_layers': 2, 'hidden_dim': 5, 'batch_size': 7, 'dropout': 0.25, 'embedding_aggregation_mode': 'mean',
        'lightning_trainer_pars': {},
    }  # fmt: skip
    assert model[2]['perturb_symbols'] == SYMBOLS['perturb_symbols']
    assert model[2]['readout_symbols'] == ['Transcriptome_STAT1', 'Transcriptome_Viability_7d', 'Transcriptome_MYC']
    rows = [(0, [0], 1), (1, [1], 0), (0, [2, 4], 2)]
    np.testing.assert_allclose(our_predictions(folder, rows), their_predictions(torch, model, rows), rtol=0, atol=1e-5)
    import_perturblib(str(tmp_path / 'model.pt'), tmp_path / 'lpm' / '2')
    back = checkpoints.read(tmp_path / 'lpm' / '2')
    assert back.about.vocabulary == OURS
    np.testing.assert_array_equal(our_predictions(tmp_path / 'lpm' / '2', rows), our_predictions(folder, rows))


def test_names_that_did_not_train_stay_here(torch, tmp_path):
    folder = native(tmp_path / 'lpm' / '1', counts=(1, 3, 2))
    export_perturblib(folder, str(tmp_path / 'model.pt'))
    model = torch.load(tmp_path / 'model.pt', weights_only=True)
    assert [len(model[2][name]) for name in SYMBOLS] == [1, 3, 2]
    rows = [(0, [1, 2], 1), (0, [0], 0)]
    np.testing.assert_allclose(our_predictions(folder, rows), their_predictions(torch, model, rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'widths': (3, 4, 3)}, r'one width for all embeddings and one for all hidden layers, here are \[3, 4\]'),
        ({'hidden': (5, 6)}, r'\[3\] and \[5, 6\]; it has no form'),
        ({'models': {'lpm': {'model': 'mean'}}}, "holds the model 'lpm'; perturblib has a form for LPM alone"),
    ],
)
def test_what_perturblib_has_no_form_for_is_told(torch, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        export_perturblib(native(tmp_path / 'lpm' / '1', **settings), str(tmp_path / 'model.pt'))
    assert not (tmp_path / 'model.pt').exists()


def test_a_path_in_the_arguments_is_read_as_text(torch, tmp_path):
    trainer = {'default_root_dir': pathlib.PosixPath('/home/someone/.plib_cache'), 'max_epochs': 50}
    path = saved(torch, tmp_path / 'model.pt', content(torch, lightning_trainer_pars=trainer))
    import_perturblib(path, tmp_path / 'lpm' / '1')
    arguments = checkpoints.read(tmp_path / 'lpm' / '1').about.config['perturblib']['arguments']
    expected = {'default_root_dir': '/home/someone/.plib_cache', 'max_epochs': 50}
    assert arguments['lightning_trainer_pars'] == expected


class Harm:
    """Makes a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize('place', ['arguments', 'state', 'alone', 'pickle'])
def test_code_in_a_file_is_refused_and_does_not_run(torch, tmp_path, place):
    model, arguments, state = content(torch)
    harm = Harm(tmp_path / 'ran')
    wrong = {
        'arguments': (model, arguments | {'lightning_trainer_pars': harm}, state),
        'state': (model, arguments, state | {'context_symbols': harm}),
        'alone': harm,
    }
    if place == 'pickle':
        (tmp_path / 'model.pt').write_bytes(pickle.dumps(harm, protocol=2))
    else:
        torch.save(wrong[place], tmp_path / 'model.pt')
    with pytest.raises(InputError, match='reading it would run posix.mkdir; it was not run'):
        import_perturblib(str(tmp_path / 'model.pt'), tmp_path / 'lpm' / '1')
    assert not (tmp_path / 'ran').exists()
    assert not (tmp_path / 'lpm').exists()


def without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


WRONG = {
    'catboost': (lambda torch, m, a, s: ('CatBoost', a, s), "expected the model 'LPM' .* found 'CatBoost'"),
    'lightning': (lambda torch, m, a, s: {'state_dict': s}, r'expected \(model id, arguments, state\) as perturblib'),
    'no state': (lambda torch, m, a, s: (m, a, [1]), 'with arguments and state'),
    'no names': (lambda torch, m, a, s: (m, a, without(s, 'readout_symbols')), 'names in readout_symbols, found None'),
    'numbers': (lambda torch, m, a, s: (m, a, s | {'context_symbols': [1, 2]}), 'list of names in context_symbols'),
    'control': (
        lambda torch, m, a, s: (m, a, s | {'perturb_symbols': s['perturb_symbols'][::-1]}),
        "expected 'Control' first in perturb_symbols, found 'aspirin'",
    ),
    'twice': (
        lambda torch, m, a, s: (m, a, s | {'readout_symbols': ['MYC', 'Transcriptome_MYC', 'x']}),
        "model.pt: vocabulary: readouts are named twice: 'MYC'",
    ),
    'version': (
        lambda torch, m, a, s: (m, a, s | {'dataset_embedding_layer.weight': torch.ones(1)}),
        "holds, beside what is known, 'dataset_embedding_layer.weight'; expected of an LPM",
    ),
    'deeper': (lambda torch, m, a, s: (m, a | {'num_layers': 3}, s), "lacks 'predictor.9.bias', 'predictor.9.weight'"),
    'no size': (lambda torch, m, a, s: (m, without(a, 'hidden_dim'), s), "arguments, found .*'hidden_dim': None"),
    'shape': (
        lambda torch, m, a, s: (m, a, s | {'readout_embedding_layer.weight': torch.ones(4, 3)}),
        r'expected readout_embedding_layer.weight of shape \(3, 3\) from arguments and names, found \(4, 3\)',
    ),
    'no tensor': (lambda torch, m, a, s: (m, a, s | {'predictor.0.bias': 3}), r'of shape \(5,\) .* found \(\)'),
    'mode': (
        lambda torch, m, a, s: (m, a | {'embedding_aggregation_mode': 'meen'}, s),
        "model.pt: models.lpm.aggregation: no such 'meen'; did you mean 'mean'",
    ),
    'dropout': (lambda torch, m, a, s: (m, a | {'dropout': 'much'}, s), "model.pt: models.lpm.dropout: 'much' is of"),
}


@pytest.mark.parametrize('fault', WRONG)
def test_what_does_not_fit_is_told_with_what_was_expected(torch, tmp_path, fault):
    change, message = WRONG[fault]
    path = saved(torch, tmp_path / 'model.pt', change(torch, *content(torch)))
    with pytest.raises(InputError, match=message):
        import_perturblib(path, tmp_path / 'lpm' / '1')
    assert not (tmp_path / 'lpm').exists()


@pytest.mark.parametrize('damage', [b'', b'no checkpoint', b'PK\x03\x04 cut'])
def test_damaged_files_are_told(torch, tmp_path, damage):
    (tmp_path / 'model.pt').write_bytes(damage)
    with pytest.raises(InputError, match=r'model.pt: torch cannot read it as weights; it is of ano'):
        import_perturblib(str(tmp_path / 'model.pt'), tmp_path / 'lpm' / '1')


def test_without_torch_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(InputError, match=r'pip install perturbjax\[torch\]'):
        import_perturblib(str(tmp_path / 'model.pt'), tmp_path / 'lpm' / '1')


def test_the_command(torch, golden, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['import', str(golden / 'perturblib_model.pt'), 'lpm/13', '--seed=13']) == 0
    assert main(['export', 'lpm/13', 'back.pt']) == 0
    assert_same(torch, golden / 'perturblib_model.pt', 'back.pt')
    capsys.readouterr()
    for wrong, message in (
        (['import', 'back.pt', 'lpm/13'], 'lpm/13: holds a checkpoint already; give another folder.'),
        (['import', 'nothing.pt', 'lpm/14'], 'nothing.pt: there is no such file.'),
        (['export', 'lpm/14', 'model.pt'], 'no checkpoint is there'),
        (['export', 'lpm/13', 'no/folder/model.pt'], 'No such file or directory'),
    ):
        assert main(wrong) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count('\n') == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ['back.pt', 'lpm']
    assert checkpoints.read(tmp_path / 'lpm' / '13').about.split['seed'] == 13
