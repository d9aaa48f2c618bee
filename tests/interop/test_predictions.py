"""Predictions of other tools: what their names mean, the three forms, ours there and back, files that are wrong."""

import json
import pathlib
import pickle
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.evaluation.scores import compare
from perturbjax.evaluation.summary import summarise
from perturbjax.interop.ahlmann_eltze import write_ahlmann_eltze
from perturbjax.interop.cell_eval import read_cell_eval, write_cell_eval
from perturbjax.interop.foreign import Foreign, canonical_condition, match, plain_names
from perturbjax.interop.predictions import add_foreign, read_predictions
from perturbjax.screens.vocabulary import combine

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

NAN = np.nan
HELD_OUT = ['CRISPRa_KLF1', 'CRISPRa_HLA_A', 'CRISPRa_CEBPE+CRISPRa_KLF1', 'CRISPRa_CEBPE+CRISPRa_HLA_A+CRISPRa_SET']
GENES = ['KLF1', 'SET', 'ACTB', 'GATA1', 'HBG1', 'MYC']


def make_predictions(perturbations=HELD_OUT, contexts=('K562',), splits=(13,), screens=('norman',), seed=0):
    """Held-out profiles of every perturbation, context, split and screen; a model `ours` that predicts all."""
    rng = np.random.default_rng(seed)
    rows = [(s, c, p, i) for i in splits for s in screens for c in contexts for p in perturbations]
    obs = pd.DataFrame(rows, columns=['screen', 'context', 'perturbation', 'split'])
    obs.index = pd.Index([f'{row.split}/{row.screen}/{row.context}/{row.perturbation}' for row in obs.itertuples()])
    control = obs['context'].map({context: number for number, context in enumerate(contexts)}).to_numpy()[:, None]
    layers = {name: rng.normal(2, 1, (len(obs), len(GENES))) for name in ('truth', 'perturbed_mean', 'mean', 'ours')}
    layers |= {'control': control + np.linspace(1, 2, len(GENES))}
    layers = {name: layer.astype(np.float32) for name, layer in layers.items()}
    uns = {'models': ['mean', 'ours'], 'scale': dict.fromkeys(screens, 'log1p')}
    return anndata.AnnData(obs=obs, var=pd.DataFrame(index=GENES), layers=layers, uns=uns)


def make_foreign(conditions, values=None, readouts=GENES, contexts=None):
    values = np.arange(len(conditions) * len(readouts)).reshape(len(conditions), -1) if values is None else values
    return Foreign(conditions, contexts, list(readouts), np.asarray(values, np.float32))


def write_results(folder, predictions, genes=GENES):
    folder = pathlib.Path(folder) / 'results'
    folder.mkdir()
    for name, content in (('all_predictions', predictions), ('gene_names', genes)):
        (folder / f'{name}.json').write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def write_h5ad(folder, values, obs, genes=GENES, name='pred.h5ad'):
    obs = pd.DataFrame(obs, index=[f'cell {i}' for i in range(len(values))]) if isinstance(obs, dict) else obs
    anndata.AnnData(scipy.sparse.csr_matrix(values), obs, pd.DataFrame(index=genes)).write_h5ad(folder / name)
    return str(folder / name)


# What names mean


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [
        *[('B+A', 'A+B'), ('A+ctrl', 'A'), ('ctrl+A', 'A'), ('A_B', 'A_B'), ('(+)-JQ1+ctrl', '(+)-JQ1')],
        *[(name, 'control') for name in ('control', 'ctrl', 'non-targeting', '', 'ctrl+ctrl')],
    ],
)
def test_canonical_conditions(name, wanted):
    assert canonical_condition(name) == wanted


@pytest.mark.parametrize(
    ('condition', 'wanted'),
    [
        ('KLF1', HELD_OUT[0]),
        ('CRISPRa_KLF1', HELD_OUT[0]),
        ('KLF1_ctrl', HELD_OUT[0]),
        ('ctrl_KLF1', HELD_OUT[0]),
        ('HLA_A', HELD_OUT[1]),
        ('HLA_A_ctrl', HELD_OUT[1]),
        ('CEBPE+KLF1', HELD_OUT[2]),
        ('KLF1_CEBPE', HELD_OUT[2]),
        ('CRISPRa_KLF1_CRISPRa_CEBPE', HELD_OUT[2]),
        ('HLA_A_SET_CEBPE', HELD_OUT[3]),
        ('CEBPE+HLA_A_SET', HELD_OUT[3]),
        ('CRISPRi_KLF1', None),
        ('A_HLA', None),
        ('CEBPE', None),
        ('KLF1_MYC', None),
        ('control', None),
    ],
)
def test_a_condition_means_one_held_out_perturbation(condition, wanted):
    assert match([condition], HELD_OUT) == [[wanted] if wanted else []]


def test_what_can_mean_several_is_ambiguous():
    known = ['CRISPRi_A', 'CRISPR-KO_A', 'X+Y_Z', 'X_Y+Z', 'P_Q', 'P+Q']
    wanted = [['CRISPR-KO_A', 'CRISPRi_A'], ['X+Y_Z', 'X_Y+Z'], ['P_Q'], ['P+Q'], ['CRISPRi_A'], ['X+Y_Z']]
    assert match(['A', 'X_Y_Z', 'P_Q', 'P+Q', 'CRISPRi_A', 'X+Y_Z'], known) == wanted


def test_a_type_that_only_they_name_is_no_difference():
    assert match(['CRISPRi_A', 'CRISPRi_B+CRISPRa_A'], ['A', 'A+B', 'C']) == [['A'], ['A+B']]
    assert match(['CRISPRi_A+CRISPRa_A', 'A+A'], ['CRISPRa_A+CRISPRi_A']) == [['CRISPRa_A+CRISPRi_A']] * 2


@settings(max_examples=50)
@given(st.data())
def test_any_order_separator_and_control_means_the_same(data):
    genes = data.draw(st.lists(st.sampled_from(['A', 'B_1', 'C-2', 'ctrl1']), min_size=1, max_size=3, unique=True))
    known = combine(f'CRISPRi_{gene}' for gene in genes)
    pieces = data.draw(st.permutations([*genes, *data.draw(st.lists(st.sampled_from(['ctrl', 'control'])))]))
    pieces = [data.draw(st.sampled_from(['', 'CRISPRi_'])) * (piece in genes) + piece for piece in pieces]
    written = ''.join(piece + data.draw(st.sampled_from('+_')) for piece in pieces[:-1]) + pieces[-1]
    assert match([canonical_condition(written)], [known, 'CRISPRi_D', 'CRISPRa_E+CRISPRi_A']) == [[known]]


def test_plain_names_keep_types_that_tell_apart():
    assert plain_names(['CRISPRi_B+CRISPRi_A', 'Compound_x-1uM']) == ['A+B', 'x-1uM']
    assert plain_names(['CRISPRi_A', 'CRISPR-KO_A']) == ['CRISPRi_A', 'CRISPR-KO_A']


# The three forms


def test_a_folder_of_json(tmp_path, caplog):
    values = '{"ctrl": [0, 0, 0], "B+A": [1.5, NaN, -Infinity], "A_B": ["NA", null, 1e400], "ctrl+C": [4, 5, 6]}'
    path = write_results(tmp_path, values, ['x', 'y', 'z'])
    found = read_predictions(path)
    assert found.conditions == ['control', 'A+B', 'A_B', 'C']
    assert (found.contexts, found.readouts, found.values.dtype) == (None, ['x', 'y', 'z'], np.float32)
    np.testing.assert_array_equal(found.values, [[0, 0, 0], [1.5, NAN, NAN], [NAN] * 3, [4, 5, 6]])
    assert 'all_predictions.json: 2 infinite values' in caplog.text
    assert read_predictions(f'{path}/all_predictions.json').readouts == found.readouts


def test_genes_that_share_a_name_are_left_out(tmp_path, caplog):
    found = read_predictions(write_results(tmp_path, {'A': [1, 2, 3, 4]}, ['x', 'y', 'x', 'z']))
    assert found.readouts == ['y', 'z']
    np.testing.assert_array_equal(found.values, [[2, 4]])
    assert "genes share the names 'x'" in caplog.text


@pytest.mark.parametrize('column', ['target', 'target_gene'])
def test_an_h5ad_of_cells_is_averaged(tmp_path, column):
    values = np.array([[1, 0, 2], [3, 0, 4], [5, 6, 0], [9, 9, 9]], np.float32)
    obs = {column: ['A', 'A', 'A', 'non-targeting'], 'celltype': ['k', 'k', 'r', 'k']}
    found = read_predictions(write_h5ad(tmp_path, values, obs, ['x', 'y', 'z']))
    assert list(zip(found.conditions, found.contexts)) == [('A', 'k'), ('control', 'k'), ('A', 'r')]
    np.testing.assert_array_equal(found.values, [[2, 0, 3], [9, 9, 9], [5, 6, 0]])
    del obs['celltype']
    assert read_predictions(write_h5ad(tmp_path, values, obs, ['x', 'y', 'z'])).contexts is None


@pytest.mark.parametrize('ending', ['.csv', '.tsv', '.csv.gz', '.parquet'])
@pytest.mark.parametrize('index', [True, False])
def test_a_table(tmp_path, ending, index):
    path = str(tmp_path / f'predictions{ending}')
    table = pd.DataFrame({'name': ['B+A', 'A+ctrl'], 'context': ['k', 'r'], 'x': [1.5, NAN], 'y': [np.inf, 4]})
    table = table.set_index('name').rename_axis(None) if index else table
    if ending == '.parquet':
        table.to_parquet(path)
    else:
        table.to_csv(path, sep='\t' if ending == '.tsv' else ',', index=index)
    found = read_predictions(path)
    assert found[:3] == (['A+B', 'A'], ['k', 'r'], ['x', 'y'])
    np.testing.assert_array_equal(found.values, np.array([[1.5, NAN], [NAN, 4]], np.float32))


def test_the_context_may_come_first_or_not_at_all(tmp_path):
    table = pd.DataFrame({'context': ['k'], 'perturbation': ['A'], 'x': [1]})
    table.to_csv(tmp_path / 'first.csv', index=False)
    assert read_predictions(str(tmp_path / 'first.csv'))[:3] == (['A'], ['k'], ['x'])
    table.drop(columns='context').to_csv(tmp_path / 'none.csv', index=False)
    assert read_predictions(str(tmp_path / 'none.csv'))[:3] == (['A'], None, ['x'])


# As a layer


def test_a_layer_by_names_with_gaps_told(caplog):
    predictions = make_predictions()
    foreign = make_foreign(['KLF1_CEBPE', 'KLF1', 'MYC', 'control'], readouts=[*GENES[::-1][1:], 'XIST'])
    foreign.values[0, 2] = NAN
    add_foreign(predictions, foreign, 'gears', 'results')
    wanted = np.full((4, 6), NAN)
    wanted[2], wanted[0] = [4, 3, NAN, 1, 0, NAN], [10, 9, 8, 7, 6, NAN]
    np.testing.assert_array_equal(predictions.layers['gears'], wanted)
    assert predictions.layers['gears'].dtype == np.float32
    assert predictions.uns['models'] == ['mean', 'ours', 'gears']
    assert "results: 1 of 4 conditions are not held out and left out: 'MYC'." in caplog.text
    assert "5 of the 6 readouts here are among its 6; it lacks 'MYC', and has beside them 'XIST'." in caplog.text
    assert f'1 of 10 values are missing (NaN) and count as not predicted, in {HELD_OUT[2]!r}.' in caplog.text


def test_what_no_profile_measures_is_not_missed(caplog):
    predictions = make_predictions(['A'], screens=('one', 'two'))
    predictions.layers['truth'][0, 3:] = NAN
    add_foreign(predictions, make_foreign(['A'], readouts=GENES[:3]), 'gears', 'results', {'screen': 'one'})
    assert not caplog.text
    np.testing.assert_array_equal(predictions.layers['gears'], [[0, 1, 2, NAN, NAN, NAN], [NAN] * 6])
    with pytest.raises(InputError, match='0 of the 3 readouts here are among its 3'):
        add_foreign(predictions, make_foreign(['A'], readouts=GENES[3:]), 'other', 'results', {'screen': 'one'})


def test_rows_of_one_condition_are_averaged():
    predictions = make_predictions()
    add_foreign(predictions, make_foreign(['CEBPE+KLF1', 'KLF1_CEBPE', 'KLF1']), 'gears', 'results')
    np.testing.assert_array_equal(predictions.layers['gears'][[2, 0]], [np.arange(3, 9), np.arange(12, 18)])


def test_ambiguous_conditions_are_left_out_and_told(caplog):
    predictions = make_predictions(['CRISPRi_A', 'CRISPR-KO_A', 'CRISPRi_B'])
    add_foreign(predictions, make_foreign(['A', 'B']), 'gears', 'results')
    assert np.isnan(predictions.layers['gears'][:2]).all()
    assert "1 conditions are ambiguous and left out: 'A (CRISPR-KO_A or CRISPRi_A)'" in caplog.text
    with pytest.raises(InputError, match="none of its 1 conditions is one held-out.*'A .CRISPR-KO_A or CRISPRi_A.'"):
        add_foreign(predictions, make_foreign(['A']), 'other', 'results')


def test_contexts_keep_their_own_values_and_meanings(caplog):
    predictions = make_predictions(['CRISPRi_A', 'CRISPRi_B'], contexts=('K562', 'RPE1'))
    contexts = ['RPE1', 'K562', 'HELA']
    add_foreign(predictions, make_foreign(['A', 'A', 'A'], contexts=contexts), 'gears', 'results')
    wanted = [np.arange(6, 12), [NAN] * 6, np.arange(6), [NAN] * 6]
    np.testing.assert_array_equal(predictions.layers['gears'], wanted)
    assert "left out: 'A in HELA'" in caplog.text


def test_predictions_without_context_need_one():
    predictions = make_predictions(['CRISPRi_A'], contexts=('K562', 'RPE1'))
    foreign = make_foreign(['A'])
    with pytest.raises(InputError, match="names no context, but the held-out profiles have 'K562', 'RPE1'; add"):
        add_foreign(predictions, foreign, 'gears', 'results')
    add_foreign(predictions, foreign, 'gears', 'results', {'context': 'RPE1'})
    np.testing.assert_array_equal(predictions.layers['gears'], [[NAN] * 6, np.arange(6)])
    with pytest.raises(InputError, match="its contexts are 'HELA', but held out are 'K562', 'RPE1'; rename"):
        add_foreign(predictions, make_foreign(['A'], contexts=['HELA']), 'other', 'results')


def test_one_file_for_each_split_or_one_for_all(caplog):
    predictions = make_predictions(['CRISPRi_A'], splits=(13, 14))
    for split in (13, 14):
        add_foreign(predictions, make_foreign(['A'], np.full((1, 6), split)), 'gears', 'results', {'split': split})
    np.testing.assert_array_equal(predictions.layers['gears'][:, 0], [13, 14])
    assert predictions.uns['models'] == ['mean', 'ours', 'gears']
    assert not caplog.text
    add_foreign(predictions, make_foreign(['A']), 'zero_shot', 'results')
    assert 'results: is used for all 2 splits; if it was trained on one of them' in caplog.text


def test_a_label_that_is_taken_and_rows_that_are_not_there():
    predictions, foreign = make_predictions(), make_foreign(['KLF1'])
    for label in ('truth', 'control', 'perturbed_mean', 'ours'):
        with pytest.raises(InputError, match=f'there is a layer {label!r} already; give the model another label'):
            add_foreign(predictions, foreign, label, 'results')
    with pytest.raises(InputError, match=r"results: only=\{'split': 99\} chooses none of the 4 held-out profiles"):
        add_foreign(predictions, foreign, 'gears', 'results', {'split': 99})
    with pytest.raises(InputError, match="only: there is no column 'fold'"):
        add_foreign(predictions, foreign, 'gears', 'results', {'fold': 1})


def test_a_foreign_layer_is_scored_like_any_model(tmp_path):
    predictions = make_predictions(splits=(13, 14), contexts=('K562', 'RPE1'))
    write_cell_eval(predictions, 'ours', tmp_path)
    for split in (13, 14):
        path = str(tmp_path / str(split) / 'pred.h5ad')
        add_foreign(predictions, read_predictions(path), 'again', path, {'split': split})
    summary = summarise(predictions, compare(predictions), bootstrap_samples=20).set_index(['model', 'metric'])
    pd.testing.assert_frame_equal(summary.loc['again'], summary.loc['ours'])


# Ours, there and back


def round_trip(predictions, model, write, folder, name=''):
    """What comes back, each block as another tool's, of what a model's predictions are written to."""
    write(predictions, model, folder)
    returned = predictions.copy()
    contexts = predictions.obs['context'].unique()
    for split in predictions.obs['split'].unique():
        for context in contexts if write is write_ahlmann_eltze else [None]:
            path = folder.joinpath(*(str(split),) * (predictions.obs['split'].nunique() > 1))
            path = path.joinpath(*(() if context is None or len(contexts) == 1 else (context,)), name)
            only = {'split': split} | ({} if context is None else {'context': context})
            add_foreign(returned, read_predictions(str(path)), 'again', str(path), only)
    return returned.layers['again']


FORMS = [(write_ahlmann_eltze, ''), (write_cell_eval, 'pred.h5ad')]


@pytest.mark.parametrize(('write', 'name'), FORMS)
@pytest.mark.parametrize('several', [{}, {'splits': (13, 14)}, {'splits': (13, 14), 'contexts': ('K562', 'RPE1')}])
def test_a_round_trip_is_equal_to_the_bit(tmp_path, write, name, several):
    predictions = make_predictions(**several)
    predictions.layers['ours'][0, :4] = [np.pi, 1e-42, 3.4e38, -1 / 3]
    returned = round_trip(predictions, 'ours', write, tmp_path, name)
    np.testing.assert_array_equal(returned.view(np.uint32), predictions.layers['ours'].view(np.uint32))


@settings(max_examples=20)
@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=6, max_size=6))
def test_any_float_comes_back_from_json(tmp_path_factory, values):
    predictions = make_predictions()
    predictions.layers['ours'][0] = values
    returned = round_trip(predictions, 'ours', write_ahlmann_eltze, tmp_path_factory.mktemp('json'))
    np.testing.assert_array_equal(returned, predictions.layers['ours'])


def test_gaps_come_back_from_json(tmp_path, caplog):
    predictions = make_predictions()
    predictions.layers['ours'][0, 1] = predictions.layers['ours'][:, 4] = predictions.layers['ours'][3] = NAN
    returned = round_trip(predictions, 'ours', write_ahlmann_eltze, tmp_path)
    np.testing.assert_array_equal(returned, predictions.layers['ours'])
    assert f'ours: 1 profiles without a prediction are left out: {HELD_OUT[3]!r}.' in caplog.text


def test_the_json_is_what_the_released_scripts_read(tmp_path):
    predictions = make_predictions(HELD_OUT[:3])
    predictions.layers['ours'][:] = np.arange(18).reshape(3, 6)
    predictions.layers['ours'][0, 0] = NAN
    write_ahlmann_eltze(predictions, 'ours', tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['all_predictions.json', 'gene_names.json']
    assert json.loads((tmp_path / 'gene_names.json').read_text()) == GENES
    found = json.loads((tmp_path / 'all_predictions.json').read_text(), parse_constant=pytest.fail)
    assert list(found) == ['KLF1+ctrl', 'HLA_A+ctrl', 'CEBPE+KLF1']
    assert found['KLF1+ctrl'] == ['NA', 1, 2, 3, 4, 5]


def test_blocks_have_folders_of_what_is_several(tmp_path):
    predictions = make_predictions(['A'], contexts=('K562', 'a/b'), screens=('one', 'two'))
    write_ahlmann_eltze(predictions, 'ours', tmp_path / 'json')
    write_cell_eval(predictions, 'ours', tmp_path / 'h5ad')
    predictions.layers['ours'][predictions.obs['screen'] == 'two'] = NAN
    write_ahlmann_eltze(predictions[predictions.obs['context'] == 'K562'].copy(), 'ours', tmp_path / 'half')
    assert [path.name for path in (tmp_path / 'half').iterdir()] == ['one']
    shutil.rmtree(tmp_path / 'half')
    files = [path for path in tmp_path.rglob('*') if path.is_file() and not path.name.startswith('.')]
    found = {str(path.relative_to(tmp_path)) for path in files}
    names = {f'json/{s}/{c}' for s in ('one', 'two') for c in ('K562', 'a%2Fb')}
    assert found == {f'{name}/{file}.json' for name in names for file in ('all_predictions', 'gene_names')} | {
        f'h5ad/{screen}/{kind}.h5ad' for screen in ('one', 'two') for kind in ('real', 'pred')
    }


def test_the_pair_is_what_cell_eval_compares(tmp_path):
    predictions = make_predictions(HELD_OUT[1:3], contexts=('K562', 'RPE1'))
    write_cell_eval(predictions, 'ours', tmp_path)
    real, pred = (anndata.read_h5ad(tmp_path / f'{name}.h5ad') for name in ('real', 'pred'))
    assert list(real.var_names) == list(pred.var_names) == GENES
    assert real.obs.equals(pred.obs)
    assert list(pred.obs['target']) == ['HLA_A', 'CEBPE+KLF1'] * 2 + ['non-targeting'] * 2
    assert list(pred.obs['target']) == list(pred.obs['target_gene'])
    assert list(pred.obs['celltype']) == ['K562'] * 2 + ['RPE1'] * 2 + ['K562', 'RPE1']
    # Some values are negative, so X is lifted, and a layer has them as they are.
    as_is = {name: data.layers['unshifted'] for name, data in (('real', real), ('pred', pred))}
    np.testing.assert_array_equal(as_is['real'][:4], predictions.layers['truth'])
    np.testing.assert_array_equal(as_is['pred'][:4], predictions.layers['ours'])
    np.testing.assert_array_equal(as_is['pred'][4:], predictions.layers['control'][[0, 2]])
    for name, data in (('real', real), ('pred', pred)):
        np.testing.assert_array_equal(data.X, as_is[name] + np.float32(pred.uns['shift']))
    np.testing.assert_array_equal(pred.X[4:], real.X[4:])
    assert {name: pred.uns[name] for name in ('model', 'split', 'screen', 'scale')} == {
        'model': 'ours', 'split': '13', 'screen': 'norman', 'scale': 'log1p'
    }  # fmt: skip
    assert 'pseudobulk' in pred.uns['note']


def test_the_pair_has_no_gaps(tmp_path, caplog):
    predictions = make_predictions()
    predictions.layers['ours'][0] = predictions.layers['truth'][1, 2] = predictions.layers['ours'][2, 3] = NAN
    predictions.layers['control'][3, 4] = NAN
    write_cell_eval(predictions, 'ours', tmp_path)
    pred = anndata.read_h5ad(tmp_path / 'pred.h5ad')
    assert list(pred.var_names) == ['KLF1', 'SET', 'MYC']
    assert pred.n_obs == 4
    assert "ours: 3 readouts have gaps and are left out for cell-eval: 'ACTB', 'GATA1', 'HBG1'." in caplog.text


def test_values_that_cell_eval_refuses_are_told(tmp_path, caplog):
    predictions = make_predictions()
    predictions.layers['ours'] = abs(predictions.layers['ours'])
    predictions.layers['truth'] = abs(predictions.layers['truth'])
    write_cell_eval(predictions, 'ours', tmp_path)
    assert not caplog.text
    predictions.layers['ours'][0, :2] = -1
    write_cell_eval(predictions, 'ours', tmp_path)
    assert f'{tmp_path}: cell-eval refuses negative values, so 1 was added to all values of both files' in caplog.text
    assert 'pass --input-type lognorm' in caplog.text
    real, pred = (anndata.read_h5ad(tmp_path / name) for name in ('real.h5ad', 'pred.h5ad'))
    assert min(real.X.min(), pred.X.min()) == 0
    assert real.uns['shift'] == pred.uns['shift'] == 1
    expected = predictions.layers['ours'] - predictions.layers['truth']
    np.testing.assert_allclose((pred.X - real.X)[: len(expected)], expected, atol=1e-6)
    assert read_cell_eval(str(tmp_path / 'pred.h5ad')).values.min() == -1


def test_what_cannot_be_written_writes_nothing(tmp_path):
    predictions = make_predictions()
    for write, _ in FORMS:
        with pytest.raises(InputError, match="there is no model 'our'; did you mean 'ours'"):
            write(predictions, 'our', tmp_path)
    predictions.layers['truth'][0] = NAN
    with pytest.raises(InputError, match="cell-eval needs readouts without gaps, but 'ours'.* none over 4 profiles"):
        write_cell_eval(predictions, 'ours', tmp_path)
    del predictions.layers['truth']
    with pytest.raises(InputError, match="cell-eval compares with the 'truth' layer, which is not there"):
        write_cell_eval(predictions, 'ours', tmp_path)
    predictions.layers['ours'][:] = NAN
    with pytest.raises(InputError, match="'ours' predicts nothing, so there is nothing to write"):
        write_ahlmann_eltze(predictions, 'ours', tmp_path)
    assert list(tmp_path.iterdir()) == []


# Files that are wrong


@pytest.mark.parametrize(
    ('predictions', 'genes', 'told'),
    [
        ('{"A": [1, 2', ['x', 'y'], 'all_predictions.json: cannot be read as JSON'),
        ('', ['x'], 'all_predictions.json: cannot be read as JSON'),
        ([[1, 2]], ['x', 'y'], r'all_predictions.json: the file must have the form \{condition: \[values\]\}'),
        ({'A': [1]}, {'x': 0}, 'gene_names.json: the file must have the form .names'),
        ({}, ['x'], 'no predictions; it has 0 conditions and 1 genes'),
        ({'A': []}, [], 'no predictions; it has 1 conditions and 0 genes'),
        ({'A': [1, 'low']}, ['x', 'y'], "'A' is no list of numbers; write one number per gene"),
        ({'A': [[1, 2]]}, ['x', 'y'], "'A' is no list of numbers"),
        ({'A': {'x': 1}}, ['x'], "'A' is no list of numbers"),
        ({'A': '12'}, ['x', 'y'], "'A' is no list of numbers"),
        ({'A': 1}, ['x'], "'A' is no list of numbers"),
        ({'A': [10**400]}, ['x'], "'A' is no list of numbers"),
        (
            {'A': [1, 2], 'B': [1]},
            ['x', 'y'],
            "1 of 2 lists do not have the 2 values that gene_names.json names, such as 'B' with 1; .* swapped",
        ),
        ({'A': [1, 2]}, ['x', 'y', 'z'], "such as 'A' with 2; write one value per gene for every condition"),
        ({gene: [1, 2] for gene in GENES}, GENES, "6 of 6 lists .* such as 'KLF1' with 2; the axes look swapped"),
    ],
)
def test_wrong_json_is_told(tmp_path, predictions, genes, told):
    path = write_results(tmp_path, predictions, genes)
    with pytest.raises(InputError, match=told):
        read_predictions(path)


def test_files_that_are_no_predictions(tmp_path):
    def refused(name, told):
        with pytest.raises(InputError, match=told):
            read_predictions(str(tmp_path / name))

    refused('none', 'none: there is no such file or folder')
    refused('none.h5ad', 'none.h5ad: there is no such file or folder')
    (tmp_path / 'all_predictions.json').write_text('{}')
    refused('', "the folder has no gene_names.json, it has 'all_predictions.json'; predictions need all_pred")
    (tmp_path / 'model.pkl').write_bytes(pickle.dumps({'A': [1]}))
    refused(
        'model.pkl',
        'by its name this is no file of predictions; give a folder with all_predictions.json and gene_names.json',
    )
    (tmp_path / 'text.h5ad').write_text('A,B')
    refused('text.h5ad', 'cannot be read as h5ad, it is of another format or damaged')
    (tmp_path / 'a.csv').write_text('condition,x,note\nA,1,good\n')
    refused('a.csv', "the column 'note' has 'good', which is no number; every column but those of condition")
    (tmp_path / 'b.csv').write_text('condition\nA\n')
    refused('b.csv', 'there are no readouts; give each readout a column')
    (tmp_path / 'c.csv').write_text('condition,x\nA,1\n,2\n')
    refused('c.csv', '1 of 2 rows name no condition in the first column')


def test_an_h5ad_without_targets_or_with_swapped_axes(tmp_path):
    path = write_h5ad(tmp_path, np.eye(2), {'gene': ['A', 'B']}, ['x', 'y'])
    with pytest.raises(
        InputError, match="obs has no column 'target' or 'target_gene', it has '_index', 'gene'; it needs"
    ):
        read_predictions(path)
    swapped = anndata.AnnData(
        np.eye(2), pd.DataFrame(index=['x', 'y']), pd.DataFrame({'target': ['A', 'B']}, ['a', 'b'])
    )
    swapped.write_h5ad(path)
    with pytest.raises(InputError, match='var has it, so the axes are swapped: transpose the file'):
        read_predictions(path)


def refuse(predictions, foreign, told):
    before = set(predictions.layers)
    with pytest.raises(InputError, match=told):
        add_foreign(predictions, foreign, 'gears', 'results')
    assert (set(predictions.layers), predictions.uns['models']) == (before, ['mean', 'ours'])


def test_nothing_in_common_is_told():
    predictions = make_predictions()
    refuse(
        predictions,
        make_foreign(['KLF1'], readouts=['ENSG1', 'ENSG2']),
        "results: 0 of the 6 readouts here are among its 2; it has 'ENSG1', 'ENSG2', here are 'KLF1', 'SET'",
    )
    refuse(
        predictions,
        make_foreign(['MYC', 'GATA1', 'control']),
        f"none of its 3 conditions is one held-out perturbation; it has 'MYC', 'GATA1', held out are '{HELD_OUT[0]}'",
    )
    values = np.where(np.arange(6) == 0, [[NAN], [1]], NAN)
    refuse(predictions, make_foreign(['KLF1', 'MYC'], values), r'all 6 values of held-out profiles are missing \(NaN\)')


def test_swapped_axes_are_told_even_where_names_match_both_ways():
    predictions = make_predictions(['CRISPRi_KLF1', 'CRISPRi_SET'])
    told = 'axes look swapped: of its 6 conditions 6 are readouts here, of its 2 readouts 2 are held-out perturbations'
    refuse(predictions, make_foreign(GENES, readouts=['KLF1', 'SET']), told)
    refuse(predictions, make_foreign(GENES, readouts=['KLF1+ctrl', 'ctrl+SET']), told)
    add_foreign(predictions, make_foreign(['SET', 'KLF1', 'MYC']), 'gears', 'results')
    assert not np.isnan(predictions.layers['gears']).any()
