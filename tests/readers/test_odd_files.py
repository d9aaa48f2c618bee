"""Odd files of every form: a right screen, or one clear sentence; never anything else, and no row is lost."""

import contextlib
import itertools
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from files_for_tests import (
    COUNTS,
    FIELDS,
    GENES,
    KNOWN,
    LEVELS,
    OBS,
    ROWS,
    attempt,
    long_table,
    make,
    tally,
    wide_table,
    write_h5ad,
    write_table,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.readers.naming.columns import text
from perturbjax.readers.naming.combinations import vocabulary_names

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
# May crash, or read what is wrong, so it is not even run.

NAN = np.nan


@pytest.fixture(autouse=True, scope='module')
def told(request):
    yield
    tally(request)


# Odd blocks and names, as h5ad


def h5ad(folder, values, obs=OBS, var=GENES, **more):
    path = folder / 'odd.h5ad'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        write_h5ad(path, values, obs, var, **more)
    return {**KNOWN, 'source': 'h5ad', 'path': str(path)}


FORMATS = {'dense': np.asarray, 'csr': scipy.sparse.csr_matrix, 'csc': scipy.sparse.csc_matrix}
DTYPES = ('float64', 'float32', 'float16', 'int64', 'int8', 'uint16', 'bool')


@pytest.mark.parametrize('form', FORMATS)
def test_every_type_of_number_gives_the_same(tmp_path, form):
    expected = attempt(h5ad(tmp_path, COUNTS.astype(float))).screens[0].values
    small = (COUNTS > 4).astype(int)
    for dtype in DTYPES:
        if form != 'dense' and dtype == 'float16':
            continue  # scipy has none
        counts = small if dtype == 'bool' else COUNTS
        found = attempt(h5ad(tmp_path, FORMATS[form](counts.astype(dtype))), len(ROWS))
        wanted = expected if dtype != 'bool' else attempt(h5ad(tmp_path, small.astype(float))).screens[0].values
        np.testing.assert_array_equal(found.screens[0].values, wanted)
        attempt(h5ad(tmp_path, FORMATS[form](counts.astype(dtype))) | {'counts': True, 'scale': 'log1p'}, len(ROWS))


@pytest.mark.parametrize('value', [NAN, np.inf, -np.inf, 1e300])
def test_blocks_of_nothing_but_no_number(tmp_path, value, caplog):
    found = attempt(h5ad(tmp_path, np.full(COUNTS.shape, value)), len(ROWS))
    assert np.isnan(found.screens[0].values).all()
    assert np.isnan(value) or f'{COUNTS.size} infinite values are taken as not measured' in caplog.text
    for form in ('csr', 'csc'):
        told = attempt(h5ad(tmp_path, FORMATS[form](np.full(COUNTS.shape, value))))
        assert 'values of a sparse block are NaN or infinite' in told


@pytest.mark.parametrize(
    ('values', 'told'),
    [
        (LEVELS.astype(str).astype(object), 'not numbers|cannot read'),
        (LEVELS.astype('S9'), 'not numbers'),
        (LEVELS + 1j, 'not numbers'),
        (np.zeros((24, 5), 'datetime64[s]').astype('i8').astype('V8'), 'not numbers|cannot'),
    ],
)
def test_blocks_of_no_numbers(tmp_path, values, told):
    settings = h5ad(tmp_path, LEVELS)
    with h5py.File(settings['path'], 'a') as file, contextlib.suppress(TypeError):
        del file['X']
        file['X'] = values.astype('S9') if values.dtype == object else values
        file['X'].attrs.update({'encoding-type': 'array', 'encoding-version': '0.2.0'})
    found = attempt(settings)
    assert pd.Series([found]).str.contains(told).all(), found


@pytest.mark.parametrize(
    ('rows', 'columns'),
    [(0, 5), (24, 0), (0, 0), (1, 5), (24, 1), (1, 1), (2, 1)],
)
@pytest.mark.parametrize('form', FORMATS)
def test_small_blocks(tmp_path, rows, columns, form):
    obs = OBS.iloc[:rows].assign(gene='ctrl') if rows < 3 else OBS
    found = attempt(h5ad(tmp_path, FORMATS[form](LEVELS[:rows, :columns]), obs, GENES[:columns]), rows)
    assert isinstance(found, str) == (not rows or not columns)


def test_obs_of_every_type(tmp_path):
    columns = {
        'unused': pd.Categorical(OBS['gene'], categories=['nobody', *sorted(set(OBS['gene']))]),
        'ordered': pd.Categorical(OBS['gene'], ordered=True),
        'number': np.arange(24) % 3,
        'float': np.arange(24) % 3 / 2,
        'flag': np.arange(24) % 2 == 0,
        'nullable': pd.array([None, *range(23)], 'Int64'),
        'nullable flag': pd.array([None, *[True] * 23], 'boolean'),
        'missing': pd.Categorical([None] * 24, categories=['a']),
        'some': [None, *['a'] * 23],
        'blank': [' '] * 24,
    }
    wanted = dict.fromkeys(columns, 24) | dict.fromkeys(['nullable', 'nullable flag', 'missing', 'some', 'blank'])
    for name, column in columns.items():
        settings = h5ad(tmp_path, LEVELS, OBS.assign(gene=column)) | {'scale': 'z-score'}
        found = attempt(settings, wanted[name])
        assert isinstance(found, str) == (wanted[name] is None), (name, found)
        if name == 'unused':
            assert 'nobody' not in found.vocabulary.perturbations


LONG = 'x' * 100_000
NAMES = ['é', 'Ω+ß', '基因', '🧬', 'a b', 'a\tb', 'a"b', "a'b", 'a,b', 'a/b', '..', 'nan', '1e5', LONG, 'a' * 300]


@pytest.mark.parametrize('source', ['h5ad', 'wide.csv', 'wide.parquet', 'long.tsv', 'gct'])
def test_odd_names(tmp_path, source):
    names = [name for name in NAMES if '\t' not in name or source != 'gct']
    for name in names:
        obs = OBS.replace({'gene': {'A': name}, 'cell': {'r': f'cell {name}'}})
        genes = [f'{name} {i}' for i in range(5)]
        settings = odd_file(tmp_path, source, obs, genes)
        found = attempt(settings, len(ROWS))
        name = ' '.join(name.split())
        if name == 'nan':
            assert 'rows have no value in the column' in found
            continue
        assert not isinstance(found, str), found[:300]
        assert set(found.vocabulary.contexts) == {'k', f'cell {name}'}
        assert set(name.split('+')) <= set(found.vocabulary.perturbations)
        assert set(found.vocabulary.readouts) == {text(gene) for gene in genes}


def odd_file(folder, source, obs, genes):
    if source == 'h5ad':
        return h5ad(folder, LEVELS, obs, genes)
    path = folder / (source if '.' in source else f'odd.{source}')
    wide = pd.concat([obs.reset_index(drop=True), pd.DataFrame(LEVELS, columns=genes)], axis=1)
    if source == 'gct':
        lines = [['#1.3'], [5, 24, 0, 2], ['id', *obs.index], ['cell', *obs['cell']], ['gene', *obs['gene']]]
        lines += [[gene, *values] for gene, values in zip(genes, LEVELS.T)]
        path.write_text(''.join('\t'.join(map(str, cells)) + '\n' for cells in lines), encoding='utf-8')
    else:
        if 'parquet' in source:
            pytest.importorskip('pyarrow')
        long = wide.melt(['cell', 'gene'], var_name='readout', ignore_index=False).sort_index(kind='stable')
        write_table(path, wide if 'wide' in source else long)
    return {**KNOWN, 'source': source.partition('.')[0], 'path': str(path)}


def test_names_that_are_there_twice(tmp_path):
    assert not isinstance(attempt(h5ad(tmp_path, LEVELS, OBS.set_axis(['same'] * 24)), 24), str)
    assert 'readouts are named twice' in attempt(h5ad(tmp_path, LEVELS, var=['x'] * 5))
    for kind in ('wide', 'long'):
        table = wide_table().set_axis(['cell', 'gene', *'xxyzw'], axis=1)
        write_table(tmp_path / 'twice.csv', table if kind == 'wide' else long_table().assign(readout='x'))
        found = attempt({**KNOWN, 'source': kind, 'path': str(tmp_path / 'twice.csv')})
        assert ('named twice' in found) if kind == 'wide' else (found.screens[0].cells.sum() == 120)


# Sparse blocks that point outside


def break_sparse(file, how):
    group = file['X']
    arrays = {name: group[name][:] for name in ('data', 'indices', 'indptr')}
    if how == 'index too large':
        arrays['indices'][7] = 1_000_000
    elif how == 'index too large by one':
        arrays['indices'][7] = max(COUNTS.shape)
    elif how == 'index below zero':
        arrays['indices'][7] = -1
    elif how == 'indptr falls':
        arrays['indptr'][2] = 0
    elif how == 'indptr too far':
        arrays['indptr'][-1] += 1_000_000
    elif how == 'indptr too short':
        arrays['indptr'][-1] -= 2
    elif how == 'indptr begins late':
        arrays['indptr'][0] = 2
    elif how == 'data too short':
        arrays['data'] = arrays['data'][:-3]
    elif how == 'no indptr':
        del arrays['indptr']
    for name in ('data', 'indices', 'indptr'):
        del group[name]
    for name, values in arrays.items():
        group[name] = values


UNCHECKED = ['index too large', 'index too large by one', 'index below zero', 'indptr falls']
UNCHECKED += ['indptr too short', 'indptr begins late']
BREAKS = [*UNCHECKED, 'indptr too far', 'data too short', 'no indptr']


@pytest.mark.parametrize('how', BREAKS)
@pytest.mark.parametrize('form', ['csr', 'csc'])
def test_sparse_blocks_whose_parts_do_not_fit(tmp_path, form, how):
    settings = h5ad(tmp_path, FORMATS[form](COUNTS.astype(np.float32)))
    with h5py.File(settings['path'], 'a') as file:
        break_sparse(file, how)
    assert isinstance(attempt(settings), str)


def test_sparse_entries_in_any_order_and_twice(tmp_path):
    expected = attempt(h5ad(tmp_path, COUNTS.astype(float))).screens[0].values
    for form in ('csr', 'csc'):
        block = FORMATS[form](COUNTS.astype(np.float32))
        order = np.concatenate([np.arange(*ends)[::-1] for ends in itertools.pairwise(block.indptr)]).astype(int)
        settings = h5ad(tmp_path, block)
        with h5py.File(settings['path'], 'a') as file:
            for name in ('data', 'indices'):
                file[f'X/{name}'][...] = getattr(block, name)[order]
        np.testing.assert_allclose(attempt(settings, 24).screens[0].values, expected, rtol=1e-6)
        with h5py.File(settings['path'], 'a') as file:
            for name in ('data', 'indices', 'indptr'):
                del file[f'X/{name}']
            file['X/data'] = np.repeat(block.data / 2, 2)
            file['X/indices'], file['X/indptr'] = np.repeat(block.indices, 2), block.indptr * 2
        np.testing.assert_allclose(attempt(settings, 24).screens[0].values, expected, rtol=1e-6)


# Parts of an h5ad that are not what they should be


def set_codes(file):
    file['obs/gene/codes'][3] = 99


def cut_codes(file):
    codes = file['obs/gene/codes'][:-2]
    del file['obs/gene/codes']
    file['obs/gene/codes'] = codes


CHANGES = {
    'codes out of range': (set_codes, 'cannot read obs'),
    'a column too short': (cut_codes, 'cannot read obs'),
    'no obs': (lambda file: file.__delitem__('obs'), 'it has no obs and var'),
    'obs is a number': (lambda file: (file.__delitem__('obs'), file.__setitem__('obs', 3)), ''),
    'var is numbers': (lambda file: (file.__delitem__('var'), file.__setitem__('var', np.arange(5))), ''),
    'X is a number': (lambda file: (file.__delitem__('X'), file.__setitem__('X', 3)), 'X holds'),
    'X is a line': (lambda file: (file.__delitem__('X'), file.__setitem__('X', np.arange(120))), 'X holds'),
    'X is an empty folder': (lambda file: (file.__delitem__('X'), file.create_group('X')), 'X holds'),
    'X lies the other way': (lambda file: (file.__delitem__('X'), file.__setitem__('X', LEVELS.T)), 'X holds'),
    'X is a table': (lambda file: file.copy('obs', file.__delitem__('X') or file, 'X'), 'X holds'),
    'X points nowhere': (
        lambda file: file.__delitem__('X') or file.__setitem__('X', h5py.SoftLink('/none')), ''
    ),
    'X is elsewhere': (
        lambda file: file.__delitem__('X') or file.__setitem__('X', h5py.ExternalLink('none.h5', '/X')), ''
    ),
    'obs without index': (lambda file: file['obs'].__delitem__('_index'), ''),
    'obs of another encoding': (lambda file: file['obs'].attrs.__setitem__('encoding-type', 'odd'), ''),
    'a column of two dimensions': (
        lambda file: file['obs'].__delitem__('cell') or file['obs'].__setitem__('cell', np.ones((24, 2))), ''
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    'name',
    CHANGES,
)
def test_h5ad_whose_parts_were_changed(tmp_path, name):
    settings = h5ad(tmp_path, LEVELS, OBS.assign(gene=OBS['gene'].astype('category')))
    change, told = CHANGES[name]
    with h5py.File(settings['path'], 'a') as file:
        change(file)
    found = attempt(settings)
    assert isinstance(found, str)
    assert told in found


def swap(file, name, values):
    del file[f'0/{name}']
    file[f'0/{name}'] = values


def make_group(file, name):
    del file[f'0/{name}']
    file.create_group(f'0/{name}')


GCTX_CHANGES = {
    'matrix of text': lambda file: swap(file, 'DATA/0/matrix', LEVELS.astype('S9')),
    'matrix of words': lambda file: swap(file, 'DATA/0/matrix', np.full(LEVELS.shape, 'high', 'S9')),
    'matrix of complex numbers': lambda file: swap(file, 'DATA/0/matrix', LEVELS + 1j),
    'matrix of one dimension': lambda file: swap(file, 'DATA/0/matrix', LEVELS.ravel()),
    'matrix the other way': lambda file: swap(file, 'DATA/0/matrix', LEVELS.T),
    'matrix of three dimensions': lambda file: swap(file, 'DATA/0/matrix', LEVELS[..., None]),
    'empty matrix': lambda file: swap(file, 'DATA/0/matrix', LEVELS[:0]),
    'matrix that is a number': lambda file: swap(file, 'DATA/0/matrix', 3.0),
    'matrix that is a folder': lambda file: make_group(file, 'DATA/0/matrix'),
    'ids that are a number': lambda file: swap(file, 'META/COL/id', 3),
    'ids twice': lambda file: swap(file, 'META/ROW/id', np.array(['x'] * 5, 'S')),
    'metadata too short': lambda file: swap(file, 'META/COL/cell', np.array(['k'] * 3, 'S')),
    'metadata of two dimensions': lambda file: swap(file, 'META/COL/cell', np.ones((24, 2))),
    'metadata that is a folder': lambda file: make_group(file, 'META/COL/cell'),
    'no metadata': lambda file: file.__delitem__('0/META/COL/gene'),
    'no ids': lambda file: file.__delitem__('0/META/ROW/id'),
}


UNCHECKED_GCTX = ['matrix of words', 'matrix of complex numbers', 'matrix that is a folder', 'ids that are a number']
UNCHECKED_GCTX += ['metadata too short', 'metadata of two dimensions', 'metadata that is a folder']


@pytest.mark.parametrize('name', GCTX_CHANGES)
def test_gctx_whose_parts_were_changed(tmp_path, name):
    path, known = make('level5.gctx', tmp_path)
    with h5py.File(path, 'a') as file:
        GCTX_CHANGES[name](file)
    found = attempt(known, 24)
    assert isinstance(found, str) or name == 'matrix of text'


CELLS = ['nan', 'NA', '', 'inf', '-Infinity', '1e999', 'text', '1,5', '0x1F', '٣', ' 5 ', '1_0', '"']


@pytest.mark.parametrize('form', ['wide.csv', 'long.csv', 'three.gct', 'square.csv'])
@pytest.mark.parametrize('cell', CELLS)
def test_odd_cells(tmp_path, form, cell):
    path, known = make(form, tmp_path)
    text, number = path.read_text(encoding='utf-8'), '6.0' if form == 'square.csv' else '4.25'
    for times in (1, -1):
        path.write_text(text.replace(number, cell, times), encoding='utf-8')
        attempt(known, 24 if form in ('wide.csv', 'three.gct') else None)


# Any table at all

ANY = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\x00\r\n\t'), max_size=4)
NAME = st.sampled_from(['A', 'B', 'A+B', 'B+A', 'ctrl', 'A+ctrl', 'control', 'A ', ' A', '(+)-A', 'a_b']) | ANY
NUMBER = st.floats(width=32) | st.sampled_from([NAN, np.inf, 1e300, 0.0, 7.0])


@pytest.mark.parametrize('form', ['wide.csv', 'wide.parquet', 'long.csv', 'h5ad', 'gct'])
@given(
    st.lists(st.tuples(st.sampled_from('kr') | ANY, NAME, NUMBER, NUMBER), min_size=1, max_size=8),
    st.sampled_from(['', '+', '_', ';']),
)
@settings(max_examples=25)
def test_any_table(tmp_path_factory, form, rows, separator):
    folder = tmp_path_factory.mktemp('any')
    table = pd.DataFrame(rows, columns=['cell', 'gene', 'e0', 'e1'])
    fields = {**FIELDS, 'separator': separator}
    path = folder / (form if '.' in form else f'any.{form}')
    if form == 'h5ad':
        obs = table[['cell', 'gene']].set_axis([f'c{i}' for i in range(len(table))])
        write_h5ad(path, table[['e0', 'e1']].to_numpy(), obs, ['e0', 'e1'])
    elif form == 'gct':
        lines = [['#1.3'], [2, len(table), 0, 2], ['id', *range(len(table))]]
        lines += [['cell', *table['cell']], ['gene', *table['gene']]]
        lines += [[gene, *map(repr, table[gene].tolist())] for gene in ('e0', 'e1')]
        path.write_text(''.join('\t'.join(map(str, cells)) + '\n' for cells in lines), encoding='utf-8')
    elif 'wide' in form:
        write_table(path, table)
    else:
        long = table.melt(['cell', 'gene'], var_name='readout', ignore_index=False).sort_index(kind='stable')
        write_table(path, long)
    found = attempt({'source': form.partition('.')[0], 'scale': 'z-score', 'fields': fields, 'path': str(path)})
    if not isinstance(found, str):
        check_means(found, table, separator)


def check_means(found, table, separator):
    """Every row is counted, and every profile is the mean over its rows."""
    (screen,) = found.screens
    assert screen.cells.sum() == len(table)
    names = vocabulary_names([(text(name), '') for name in table['gene']], {'control', 'ctrl'}, separator, '', 'any')
    with np.errstate(over='ignore'):
        values = table[['e0', 'e1']].to_numpy().astype(np.float32).astype(float)
    values[np.isinf(values)] = NAN
    means = pd.DataFrame(values).groupby([[*map(text, table['cell'])], names]).mean()
    wanted = means.reindex([*found.table()[['context', 'perturbation']].itertuples(index=False, name=None)])
    assert len(means) == len(screen.values)
    columns = [int(found.vocabulary.readouts[i][1]) for i in screen.readout]
    np.testing.assert_allclose(screen.values, wanted.to_numpy()[:, columns], rtol=1e-5, atol=1e-30)


COLUMN = (
    st.lists(st.integers() | st.floats() | st.booleans() | st.none() | ANY, min_size=3, max_size=3)
    | st.lists(st.dates() | st.binary(max_size=3) | st.decimals(allow_nan=False), min_size=3, max_size=3)
    | st.lists(st.lists(st.integers(0, 3), max_size=2), min_size=3, max_size=3)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3)
)


@pytest.mark.parametrize('kind', ['wide', 'long'])
@given(st.data())
@settings(max_examples=40)
def test_any_types_of_columns(tmp_path_factory, kind, data):
    names = ['cell', 'gene', 'e0'] if kind == 'wide' else ['cell', 'gene', 'readout', 'value']
    table = pd.DataFrame({name: pd.Series(data.draw(COLUMN), dtype=object) for name in names})
    path = tmp_path_factory.mktemp('types') / f'types.{data.draw(st.sampled_from(["csv", "parquet"]))}'
    try:
        write_table(path, table.infer_objects())
    except Exception:  # parquet has no form for it
        assume(False)
    attempt({**KNOWN, 'source': kind, 'path': str(path), 'scale': 'z-score'})


# Settings


@pytest.mark.parametrize(
    'change',
    [
        *[{'source': value} for value in (None, 3, ['wide'], '')],
        *[{'preset': value} for value in (3, ['gears'], 'x')],
        *[{'path': value} for value in (None, 3, [3], [], {'a': 1}, '\x00', 'a[')],
        *[{'fields': value} for value in (None, 3, 'cell', [], {})],
        *[{'scale': value} for value in (None, 3, [])],
        *[{'missing_values': value} for value in (None, 3, ['x'], [None], [True])],
        *[{'counts': value} for value in (None, 'yes', 3)],
        *[{'target_sum': value} for value in (None, 'x', -1)],
        *[{'fields': {**FIELDS, 'where': value}} for value in ([1], {'cell': {}}, {'cell': {'at_least': []}}, {3: 1})],
        *[{'fields': {**FIELDS, 'where': {'cell': value}}} for value in (None, [], [[1]], {'not': [[1]]})],
        *[{'fields': {**FIELDS, name: 3}} for name in ('context', 'control', 'separator', 'perturbation_type', 'dose')],
    ],
    ids=str,
)
def test_odd_settings(tmp_path, change):
    _, settings = make('wide.csv', tmp_path)
    with contextlib.suppress(InputError):
        load({**settings, **change})
