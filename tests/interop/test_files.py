"""Our screens and predictions as files of every form, and back."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import PANELS, make_cells, make_predictions, predict, screen_of
from screens_for_tests import measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.interop import long
from perturbjax.interop.long import ENDINGS, long_pieces, write_long
from perturbjax.interop.perturblib_table import write_perturblib, write_perturblib_screens
from perturbjax.interop.screens import write_long_screens, write_screens
from perturbjax.interop.tidy import write_tidy
from perturbjax.readers.loading import load
from perturbjax.readers.saved import read_saved
from perturbjax.readers.table import read_matrix
from perturbjax.screens.screen import assemble

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

NAN = np.nan
ARRAYS = ('values', 'context', 'perturbation', 'readout', 'cells', 'standard_error', 'halves')
# The largest, the smallest, a denormal, a third, minus zero.
ODD = np.array([3.4028235e38, -1.1754944e-38, 1e-45, -1 / 3, -0.0, NAN], np.float32)


def same_bits(some, other):
    if some is None or other is None:
        return some is other
    kind = {4: np.uint32, 8: np.uint64}[some.dtype.itemsize]
    return some.dtype == other.dtype and np.array_equal(some.view(kind), other.view(kind))


def odd_screens():
    """Three screens: with replicates; of one profile each, with odd names and values; all of it missing."""
    rows = [
        ('é µ/ä', 'control', ODD),
        ('é µ/ä', 'Compound_(+)-JQ1-10uM+Compound_x, "y"', ODD[::-1]),
        ('b', 'control', [NAN] * 6),
        ('b', '基因', [1, 2, NAN, NAN, 5, 6]),
    ]
    odd = measurements(rows, ['G1', 'β-actin', 'a b', 'c;d', 'e"f', '7'], 'a/b: odd')
    cells = screen_of(make_cells(1.0))
    empty = measurements([('k', 'p', [NAN])], ['missing'], 'empty')
    compendium = assemble([odd, empty], ['log2', 'z-score'])
    return compendium, cells


# h5ad


@pytest.mark.parametrize('position', [0, 1])
def test_saved_screens_come_back_equal_to_the_bit(tmp_path, position):
    compendium = odd_screens()[position]
    paths = write_screens(compendium, tmp_path / 'new' / 'folder')
    back = load({'source': 'saved', 'path': paths})
    assert back.vocabulary == compendium.vocabulary
    for ours, theirs in zip(compendium.screens, back.screens, strict=True):
        assert (ours.name, ours.scale, ours.present_contexts) == (theirs.name, theirs.scale, theirs.present_contexts)
        for array in ARRAYS:
            assert same_bits(getattr(ours, array), getattr(theirs, array)), array
    assert compendium.fingerprint() == back.fingerprint()


def test_saved_screens_are_files_that_anndata_and_the_h5ad_reader_know(tmp_path):
    compendium = screen_of(make_cells(1.0))
    (path,) = write_screens(compendium, tmp_path)
    (screen,) = compendium.screens
    data = anndata.read_h5ad(path)
    assert list(data.obs_names[:2]) == ['a/control', 'a/p0']
    assert list(data.obs.columns) == ['context', 'perturbation', 'cells']
    assert set(data.layers) - {None} == {'standard_error', 'first_half', 'second_half'}  # None is X
    assert dict(data.uns) == {'screen': 'screen', 'scale': 'log1p', 'unit': 'ln(1 + counts per 10,000)'}
    plain = load({'source': 'h5ad', 'path': path, 'scale': 'log1p', 'fields': {'context': 'context'}})
    np.testing.assert_array_equal(plain.screens[0].values, screen.values)


def change(path, function):
    data = anndata.read_h5ad(path)
    changed = function(data) or data
    changed.write_h5ad(path)


def drop_scale(data):
    del data.uns['scale']


def other_scale(data):
    data.uns['scale'] = 'log3'


def drop_x(data):
    data.X = None


def text_cells(data):
    data.obs['cells'] = 'many'


def no_context(data):
    data.obs['context'] = pd.Series([''] * data.n_obs, data.obs_names)


def sparse_x(data):
    import scipy.sparse

    data.X = scipy.sparse.csr_matrix(data.X)


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (drop_scale, r"is no saved screen, it has no \"uns\['scale'\]\"; its source may be 'h5ad'"),
        (other_scale, "no such scale 'log3'"),
        (drop_x, "is no saved screen, it has no 'X'"),
        (text_cells, "'cells' of a saved screen must be whole numbers from 1"),
        (no_context, "obs: 26 of 26 rows have no value in the column 'context'"),
        (sparse_x, 'X of a saved screen must be dense numbers'),
    ],
)
def test_saved_screens_that_were_changed(tmp_path, function, message):
    (path,) = write_screens(screen_of(make_cells(1.0)), tmp_path)
    change(path, function)
    with pytest.raises(InputError, match=message):
        read_saved(path)


def test_what_is_no_saved_screen(tmp_path):
    (tmp_path / 'a.h5ad').write_text('text')
    for name, message in {'a.h5ad': 'cannot be read as a saved screen', 'none.h5ad': 'there is no such file'}.items():
        with pytest.raises(InputError, match=message):
            read_saved(str(tmp_path / name))
    with pytest.raises(InputError, match=r"data \(saved\): no such setting 'scale'"):
        load({'source': 'saved', 'path': 'x', 'scale': 'log1p'})


# Long tables


@pytest.mark.parametrize('ending', ENDINGS)
def test_long_tables_come_back_equal_to_the_bit(tmp_path, ending):
    if ending == '.parquet':
        pytest.importorskip('pyarrow')
    for compendium in odd_screens():
        paths = write_long_screens(compendium, tmp_path, ending)
        for screen, path in zip(compendium.screens, paths, strict=True):
            fields = {'context': 'context'}
            back = load({'source': 'long', 'path': path, 'scale': screen.scale, 'fields': fields})
            assert values_by_name(screen, compendium.vocabulary) == values_by_name(back.screens[0], back.vocabulary)


def values_by_name(screen, names):
    """Every value's bits by (context, perturbation, readout); minus zero is zero, for a mean is taken."""
    bits = np.where(np.isnan(screen.values), np.float32(NAN), screen.values + np.float32(0)).view(np.uint32)
    rows = zip([names.contexts[i] for i in screen.context], names.perturbation_names(screen.perturbation))
    readouts = [names.readouts[i] for i in screen.readout]
    return {(*row, readout): bit for row, line in zip(rows, bits) for readout, bit in zip(readouts, line)}


def test_names_that_text_has_no_form_for_are_told(tmp_path, caplog):
    compendium = assemble([measurements([('k', 'x', [1.0, 2.0])], ['NA', 'None'])], ['z-score'])
    write_long_screens(compendium, tmp_path, '.csv')
    assert "screen.csv: the names 'NA', 'None' read as missing from text; write .parquet." in caplog.text


def test_long_tables_say_what_is_known_of_the_rows(tmp_path):
    compendium = screen_of(make_cells(1.0))
    (path,) = write_long_screens(compendium, tmp_path, '.csv')
    table, (screen,) = pd.read_csv(path), compendium.screens
    assert list(table) == ['context', 'perturbation', 'readout', 'value', 'cells', 'standard_error']
    assert len(table) == screen.values.size
    assert table['cells'].iloc[0] == 20
    np.testing.assert_allclose(table['standard_error'], screen.standard_error.ravel(), rtol=1e-7)


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=4))
@settings(max_examples=20)
def test_any_float_comes_back_from_text(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp('long') / 't.csv'
    values = np.array(rows, np.float32)
    write_long(
        long_pieces(pd.DataFrame({'row': [f'r{i}' for i in range(len(rows))]}), list('xyz'), {'value': values}), path
    )
    back = read_matrix(str(path))['value'].to_numpy(np.float32)
    np.testing.assert_array_equal(back, values.ravel())


@pytest.mark.parametrize('ending', ['.parquet', '.tsv.gz'])
def test_pieces_make_the_same_table(tmp_path, monkeypatch, ending):
    pytest.importorskip('pyarrow')
    predictions, tables = make_predictions(), []
    for size in (2**20, 50):
        monkeypatch.setattr(long, '_PIECE', size)
        write_tidy(predictions, tmp_path / f'{size}{ending}')
        path = tmp_path / f'{size}{ending}'
        tables.append(pd.read_parquet(path) if ending == '.parquet' else pd.read_csv(path, sep='\t'))
    pd.testing.assert_frame_equal(*tables)


def test_a_long_table_is_written_whole_or_not_at_all(tmp_path):
    def pieces():
        yield pd.DataFrame({'value': [1.0]})
        raise InputError('no more')

    for name in ('a.csv', 'a.parquet'):
        with pytest.raises(InputError, match='no more'):
            write_long(pieces(), tmp_path / 'folder' / name)
    with pytest.raises(InputError, match=r"a.xlsx: the name of a long table must end in one of '.parq"):
        write_long(pieces(), tmp_path / 'a.xlsx')
    assert list(tmp_path.iterdir()) == []


# Tidy predictions


@pytest.mark.parametrize('ending', ENDINGS)
def test_tidy_predictions_hold_every_value(tmp_path, ending):
    if ending == '.parquet':
        pytest.importorskip('pyarrow')
    predictions = make_predictions()
    path = tmp_path / f'predictions{ending}'
    write_tidy(predictions, path)
    table = pd.read_parquet(path) if ending == '.parquet' else pd.read_csv(path, sep='\t' if 'tsv' in ending else ',')
    keys = ['split', 'screen', 'context', 'perturbation', 'readout']
    assert list(table) == [*keys, 'model', 'value', 'truth', 'control', 'scale']
    assert table.dtypes[['split', 'model']].astype(str).tolist() in (['int64', 'object'], ['int64', 'str'])
    assert not table.duplicated([*keys, 'model']).any()
    assert set(table.groupby('screen')['scale'].first().items()) == set(predictions.uns['scale'].items())
    wide = table.pivot(index=keys[:4], columns=['model', 'readout'], values='value')
    rows = pd.MultiIndex.from_frame(predictions.obs[keys[:4]])
    measured = ~np.isnan(predictions.layers['truth'])
    for model in predictions.uns['models']:
        known = measured | ~np.isnan(predictions.layers[model])
        assert (table['model'] == model).sum() == known.sum()
        found = wide[model].reindex(index=rows, columns=predictions.var_names).to_numpy(np.float32)
        np.testing.assert_array_equal(found, predictions.layers[model])
    truth = table[table['model'] == 'mean'].pivot(index=keys[:4], columns='readout', values='truth')
    truth = truth.reindex(index=rows, columns=predictions.var_names).to_numpy(np.float32)
    np.testing.assert_array_equal(truth[measured], predictions.layers['truth'][measured])


def test_tidy_predictions_of_what_nobody_measured(tmp_path):
    predictions = make_predictions()
    for layer in list(predictions.layers):
        if layer not in predictions.uns['models']:
            del predictions.layers[layer]
    write_tidy(predictions, tmp_path / 't.csv')
    table = pd.read_csv(tmp_path / 't.csv')
    assert list(table)[-3:] == ['model', 'value', 'scale']
    assert len(table) == predictions.n_obs * predictions.n_vars * 5  # what has no prediction stays, empty
    predictions.uns['models'] = []
    with pytest.raises(InputError, match='there are no predictions'):
        write_tidy(predictions, tmp_path / 't.csv')


# perturblib


def test_perturblib_screens_come_back(tmp_path, caplog):
    pytest.importorskip('pyarrow')
    rows = [
        ('k', 'control', [1, 2, NAN]),
        ('k', 'CRISPRi_A+CRISPRi_B', [NAN, -1 / 3, NAN]),
        ('k', 'Compound_(+)-x-10uM', [5, 1e-42, NAN]),
        ('k', 'CRISPRi_C', [NAN] * 3),
    ]
    compendium = assemble([measurements(rows, ['X', 'Y', 'Z'], 'a/b')], ['log1p'])
    (folder,) = write_perturblib_screens(compendium, tmp_path, 'Transcriptome')
    assert folder == str(tmp_path / 'a%2Fb')
    table = pd.read_parquet(f'{folder}/shard_000000.parquet')
    assert list(table) == ['context', 'perturbation', 'readout', 'value']
    assert set(table['perturbation']) == {'Control', 'CRISPRi_A+CRISPRi_B', '(%2B)-x-10uM'}
    assert set(table['readout']) == {'Transcriptome_X', 'Transcriptome_Y'}
    assert table['value'].notna().all()
    for lost in ("'CRISPRi_C'", "'Z'"):
        assert f'1 names without any value are left out: {lost}.' in caplog.text
    back = load({'preset': 'perturblib', 'path': folder, 'scale': 'log1p'})
    ours, theirs = (values_by_name(each.screens[0], each.vocabulary) for each in (compendium, back))
    assert theirs == {name: bits for name, bits in ours.items() if name[1] != 'CRISPRi_C' and name[2] != 'Z'}


def test_perturblib_predictions(tmp_path):
    pytest.importorskip('pyarrow')
    predictions = make_predictions()
    write_perturblib(predictions, 'mean', tmp_path, 'Transcriptome')
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.parquet')}
    names = ('shard_000000', 'shard_000001', 'metadata')  # a shard for each context
    assert found == {f'{split}/{screen}/{name}.parquet' for split in (13, 14) for screen in PANELS for name in names}
    metadata = pd.read_parquet(tmp_path / '13' / 'proteins' / 'metadata.parquet')
    assert list(metadata) == ['shard_path', 'size', 'split', 'context', 'perturbations', 'readouts']
    assert set(metadata['split']) == {'test'}
    for about in metadata.itertuples():
        shard = pd.read_parquet(tmp_path / '13' / about.shard_path)
        assert about.size == len(shard)
        assert set(shard['context']) == {about.context}
        assert set(about.perturbations) == set(shard['perturbation'].str.split('+').explode())
        assert set(about.readouts) == set(shard['readout'])
    back = load({'preset': 'perturblib', 'path': str(tmp_path / '13' / 'proteins'), 'scale': 'log-fold-change'})
    chosen = (predictions.obs['split'] == 13) & (predictions.obs['screen'] == 'proteins')
    values = values_by_name(back.screens[0], back.vocabulary)
    for row in np.flatnonzero(chosen):
        context, perturbation = predictions.obs[['context', 'perturbation']].iloc[row]
        for column in np.flatnonzero(~np.isnan(predictions.layers['mean'][row])):
            value = predictions.layers['mean'][row, column : column + 1]
            assert values[context, perturbation, predictions.var_names[column]] == value.view(np.uint32)[0]


def test_what_perturblib_has_no_form_for(tmp_path):
    rows = [('k', 'Compound_x-10uM', [1.0]), ('k', 'x-10uM', [2.0])]
    compendium = assemble([measurements(rows, ['X'])], ['z-score'])
    with pytest.raises(InputError, match="perturbations would have one name in perturblib: 'x-10uM'; name them apart"):
        write_perturblib_screens(compendium, tmp_path)
    empty = assemble([measurements([('k', 'x', [NAN])], ['X'])], ['z-score'])
    with pytest.raises(InputError, match='nothing is measured, so there is nothing to write'):
        write_perturblib_screens(empty, tmp_path)
    assert list(tmp_path.rglob('*')) == []


# Other tools


def test_scanpy_opens_predictions_and_screens(tmp_path):
    scanpy = pytest.importorskip('scanpy')
    compendium = screen_of(make_cells(1.0))
    predictions = predict(compendium, [f'p{i}' for i in range(8)])
    predictions.write_h5ad(tmp_path / 'predictions.h5ad')
    (path,) = write_screens(compendium, tmp_path)
    for file, layer in ((tmp_path / 'predictions.h5ad', 'near'), (path, None)):
        data = scanpy.read_h5ad(file)
        data.X = data.layers[layer] if layer else data.X
        scanpy.pp.pca(data, n_comps=3)
        assert data.obsm['X_pca'].shape == (data.n_obs, 3)
        by_context = scanpy.get.aggregate(data, 'context', 'mean')
        assert list(by_context.obs_names) == ['a', 'b']


def test_one_screen_of_two_contexts_in_every_form(tmp_path):
    pytest.importorskip('pyarrow')
    compendium = two_contexts()
    sources = [
        {'source': 'saved', 'path': write_screens(compendium, tmp_path)},
        {'source': 'long', 'path': write_long_screens(compendium, tmp_path), 'fields': {'context': 'context'}},
        {'preset': 'perturblib', 'path': write_perturblib_screens(compendium, tmp_path / 'p')},
    ]
    for source in sources:
        scale = {} if source.get('source') == 'saved' else {'scale': 'log1p'}
        back = load({**source, **scale})
        assert values_by_name(back.screens[0], back.vocabulary) == values_by_name(
            compendium.screens[0], compendium.vocabulary
        )
