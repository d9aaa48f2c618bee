import shutil
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from anndata.io import write_elem

from perturbjax.errors import InputError
from perturbjax.readers.h5ad import read_h5ad_screen
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.presets import PRESETS
from perturbjax.screens.aggregation import average

NAN = np.nan
CELLS = Fields(context='cell_type', perturbation='gene', control=('ctrl',))
COUNTS = np.array([[0, 1, 2], [3, 0, 0], [0, 0, 4], [5, 6, 0]], np.float64)


def write(folder, values, obs, var, name='screen.h5ad', **elements):
    """An h5ad file of the values and tables; None leaves X out."""
    path = str(folder / name)
    elements = {'obs': obs, 'var': var, **elements, **({} if values is None else {'X': values})}
    with h5py.File(path, 'w') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # writing warns, with pandas 3; reading must not
        for key, element in elements.items():
            write_elem(file, key, element)
    return path


def obs(**columns):
    columns = columns or {'gene': ['ctrl', 'A', 'B+A', 'A'], 'cell_type': ['k', 'k', 'r', 'r']}
    rows = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f'c{i}' for i in range(rows)])


VAR = pd.DataFrame({'gene_name': ['X', 'Y', 'Z'], 'keep': [True, False, True]}, index=['e0', 'e1', 'e2'])
SPARSE = {'csr': scipy.sparse.csr_matrix, 'csc': scipy.sparse.csc_matrix, 'array': scipy.sparse.csr_array}


@pytest.mark.parametrize('form', SPARSE)
def test_sparse_blocks_stay_sparse_as_csr(tmp_path, form):
    screen = read_h5ad_screen(write(tmp_path, SPARSE[form](COUNTS), obs(), VAR), CELLS)
    assert isinstance(screen.values, scipy.sparse.csr_matrix)
    assert screen.values.dtype == np.float32
    np.testing.assert_array_equal(screen.values.toarray(), COUNTS)
    assert list(screen.perturbation) == ['control', 'A', 'A+B', 'A']
    assert list(screen.context) == ['k', 'k', 'r', 'r']
    assert (screen.name, list(screen.readout)) == ('screen', ['e0', 'e1', 'e2'])


@pytest.mark.parametrize('dtype', [np.float64, np.float32, np.float16, np.int64, np.uint8])
def test_dense_blocks_stay_dense(tmp_path, dtype):
    screen = read_h5ad_screen(write(tmp_path, COUNTS.astype(dtype), obs(), VAR), CELLS)
    assert screen.values.dtype == np.float32
    np.testing.assert_array_equal(screen.values, COUNTS)


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_rows_and_readouts_are_chosen(tmp_path, form):
    path = write(tmp_path, form(COUNTS), obs(), VAR)
    chosen = {'where': {'cell_type': 'r', 'index': ('c2', 'c3', 'c0')}, 'readout_where': {'keep': True}}
    screen = read_h5ad_screen(path, Fields(context='index', perturbation='gene', readout='gene_name', **chosen))
    values = screen.values.toarray() if scipy.sparse.issparse(screen.values) else screen.values
    np.testing.assert_array_equal(values, [[0, 4], [5, 0]])
    assert (list(screen.context), list(screen.readout)) == (['c2', 'c3'], ['X', 'Z'])


def test_layers_and_raw(tmp_path):
    raw_var = pd.DataFrame(index=['r0', 'r1'])
    layers = {'raw': {'X': COUNTS[:, :2], 'var': raw_var}, 'layers': {'logFC': COUNTS + 1, 'p': COUNTS * 0}}
    path = write(tmp_path, None, obs(), VAR, **layers)
    np.testing.assert_array_equal(read_h5ad_screen(path, CELLS, 'logFC').values, COUNTS + 1)
    raw = read_h5ad_screen(path, CELLS, 'raw')
    np.testing.assert_array_equal(raw.values, COUNTS[:, :2])
    assert list(raw.readout) == ['r0', 'r1']
    with pytest.raises(InputError, match="data.layer: there is no logfc; layers there are 'logFC', 'p', 'raw'"):
        read_h5ad_screen(path, CELLS, 'logfc')
    with pytest.raises(InputError, match="data.layer: there is no X; layers there are 'logFC', 'p', 'raw'"):
        read_h5ad_screen(path, CELLS)


def test_a_layer_may_be_called_raw(tmp_path):
    path = write(tmp_path, COUNTS, obs(), VAR, layers={'raw': COUNTS + 1})
    np.testing.assert_array_equal(read_h5ad_screen(path, CELLS, 'raw').values, COUNTS + 1)


def test_infinities_are_missing_where_they_can_be(tmp_path, caplog):
    values = COUNTS.copy()
    values[0] = np.inf, -np.inf, NAN
    screen = read_h5ad_screen(write(tmp_path, values, obs(), VAR), CELLS)
    np.testing.assert_array_equal(screen.values[0], [NAN] * 3)
    assert 'screen.h5ad: 2 infinite values are taken as not measured' in caplog.text
    with pytest.raises(InputError, match='3 values of a sparse block are NaN or infinite; store it dense'):
        read_h5ad_screen(write(tmp_path, scipy.sparse.csr_matrix(values), obs(), VAR), CELLS)


def test_what_is_no_h5ad(tmp_path, shared):
    (tmp_path / 'text.h5ad').write_text('gene,x\n')
    (tmp_path / 'folder.h5ad').mkdir()
    whole = write(tmp_path, COUNTS, obs(), VAR)
    (tmp_path / 'cut.h5ad').write_bytes((tmp_path / 'screen.h5ad').read_bytes()[:3000])
    other = write(tmp_path, COUNTS, obs(), VAR, 'odd.h5ad')
    with h5py.File(other, 'a') as file:
        file['obs'].attrs['encoding-version'] = '99'
    cases = {
        'none.h5ad': 'there is no such file',
        'folder.h5ad': 'there is no such file',
        'text.h5ad': 'cannot be read as h5ad, it is of another format or damaged .*signature not found',
        'cut.h5ad': 'cannot be read as h5ad, it is of another format or damaged .*truncated file',
        'odd.h5ad': 'anndata cannot read obs .*update your installation of anndata',
        str(shared / 'l1000_litmus_pc3.gctx'): "this is not an h5ad file; it has no obs and var, but '0'",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as error:
            read_h5ad_screen(str(tmp_path / name), CELLS)
        assert '\n' not in str(error.value)
    assert read_h5ad_screen(whole, CELLS).values.shape == (4, 3)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (COUNTS[:3], r'X holds an array of shape \(3, 3\), but obs and var have 4 and 3 rows'),
        (COUNTS.astype('S'), 'X holds .* values, not numbers'),
    ],
)
def test_values_that_do_not_fit(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        read_h5ad_screen(write(tmp_path, values, obs(), VAR), CELLS)


def test_a_missing_column_is_told_before_the_values_are_read(tmp_path):
    path = write(tmp_path, None, obs(), VAR, layers={'x': COUNTS[:1]})
    with pytest.raises(InputError, match="data.fields.context: there is no column 'cell'; there are 'gene'"):
        read_h5ad_screen(path, Fields(context='cell', perturbation='gene'), 'x')


def preset(name, **settings):
    return Fields(**{**PRESETS[name]['fields'], **settings})


def test_gears_form(tmp_path):
    table = obs(condition=pd.Categorical(['ctrl', 'A+ctrl', 'ctrl+A', 'B+A']), cell_type=pd.Categorical(['K562'] * 4))
    screen = read_h5ad_screen(write(tmp_path, scipy.sparse.csr_matrix(COUNTS), table, VAR), preset('gears'))
    assert list(screen.perturbation) == ['control', 'A', 'A', 'A+B']
    assert list(screen.readout) == ['X', 'Y', 'Z']
    assert set(screen.context) == {'K562'}


def test_scperturb_form(tmp_path):
    names = ['control', 'MT_C', 'A', 'A_MT_C']
    table = obs(perturbation=pd.Categorical(names), cell_line=['K562'] * 4, nperts=['0', '1', '1', '2'])
    path = write(tmp_path, scipy.sparse.csr_matrix(COUNTS), table, VAR)
    assert list(read_h5ad_screen(path, preset('scperturb')).perturbation) == ['control', 'MT_C', 'A', 'A+MT_C']


def test_replogle_bulk_form(tmp_path):
    table = obs(core_control=[False] * 4).set_axis(
        ['0_A1BG_P1_ENSG1', '9_STAT1_P1P2_ENSG2', '10748_non-targeting_non-targeting_non-targeting', '7_A1BG_P2_ENSG1']
    )
    var = pd.DataFrame({'gene_name': ['X', 'TBCE', 'TBCE']}, index=['e0', 'e1', 'e2']).rename_axis('gene_id')
    values = COUNTS.copy()
    values[1, 1] = np.inf
    path = write(tmp_path, values, table.rename_axis('gene_transcript'), var)
    screen = read_h5ad_screen(path, preset('replogle_bulk', context_name='K562'))
    assert list(screen.perturbation) == ['CRISPRi_A1BG', 'CRISPRi_STAT1', 'control', 'CRISPRi_A1BG']
    assert list(screen.readout) == ['X', 'TBCE (e1)', 'TBCE (e2)']
    assert np.isnan(screen.values[1, 1])
    with pytest.raises(InputError, match='context_name'):
        preset('replogle_bulk')


REAL = {
    'papalexi_2021': (Fields(context='cell_line', control=('non-targeting',)), (20729, 299), 26, 2386),
    'korkut_2015_skmel133': (
        Fields(context='cell_line', perturbation='condition', perturbation_type='Compound'),
        (89, 87),
        89,
        0,
    ),
    'fly_mapk_2011': (Fields(context_name='S2', perturbation_type='RNAi'), (69194, 3), None, None),
    'morphic_ko_log2fc': (Fields(context='context', readout='gene_name'), (137, 14584), 54, 0),
}


@pytest.mark.parametrize('name', REAL)
def test_real_files(shared, name):
    fields, shape, perturbations, controls = REAL[name]
    screen = read_h5ad_screen(str(shared / f'{name}.h5ad'), fields)
    assert (screen.name, screen.values.shape, screen.values.dtype) == (name, shape, np.float32)
    if perturbations:
        assert len(set(screen.perturbation)) == perturbations
        assert (screen.perturbation == 'control').sum() == controls


def test_real_values_are_those_of_the_file(shared):
    cells = read_h5ad_screen(str(shared / 'papalexi_2021.h5ad'), REAL['papalexi_2021'][0])
    profiles = average(cells, counts=True, target_sum=1e3)
    stat1 = dict(zip(profiles.perturbation, profiles.values[:, list(profiles.readout).index('STAT1')]))
    assert (stat1['control'], stat1['STAT1']) == (pytest.approx(3.99, abs=0.01), pytest.approx(1.63, abs=0.01))
    fly = read_h5ad_screen(str(shared / 'fly_mapk_2011.h5ad'), REAL['fly_mapk_2011'][0])
    assert sum('+' in name for name in set(fly.perturbation)) == 4278


OLD = {
    'anndata_v0.5.0': [('', 'bulk_labels', (700, 765)), ('raw', 'louvain', (700, 765))],
    'anndata_v0.7.8': [('', 'obs_cat', (30, 20)), ('raw', 'obs_cat', (30, 40)), ('sparse', 'cat_ordered', (30, 20))],
}


@pytest.mark.filterwarnings('ignore')  # anndata's own reader warns of what ours need not
@pytest.mark.parametrize('name', OLD)
def test_old_files_read_as_anndata_reads_them(shared, name):
    path = str(shared / 'readers' / f'{name}.h5ad')
    expected = anndata.read_h5ad(path)
    for layer, column, shape in OLD[name]:
        screen = read_h5ad_screen(path, Fields(context='index', perturbation=column, separator='', control=()), layer)
        names = [value.replace('+', '(+)') for value in expected.obs[column].astype(str)]
        assert list(screen.perturbation) == names
        assert list(screen.context) == list(expected.obs_names)
        source = {'': expected, 'raw': expected.raw}.get(layer, expected)
        assert list(screen.readout) == list(source.var_names)
        values = source.X if layer in ('', 'raw') else expected.layers[layer]
        assert (screen.values.shape, scipy.sparse.issparse(screen.values)) == (shape, scipy.sparse.issparse(values))
        assert abs(screen.values - values.astype(np.float32)).max() == 0


@pytest.mark.parametrize('name', OLD)
def test_old_files_are_read_without_warnings(shared, name):
    layer, column, shape = OLD[name][0]
    fields = Fields(context_name='a', perturbation=column, separator='')
    assert read_h5ad_screen(str(shared / 'readers' / f'{name}.h5ad'), fields, layer).values.shape == shape


def test_a_file_without_x_is_refused(shared):
    with pytest.raises(InputError, match=r'anndata_v0.11.4.h5ad: data.layer: there is no X; layers there are none'):
        read_h5ad_screen(str(shared / 'readers' / 'anndata_v0.11.4.h5ad'), CELLS)


def test_a_read_only_file_is_enough(shared, tmp_path):
    path = tmp_path / 'copy.h5ad'
    shutil.copyfile(shared / 'korkut_2015_skmel133.h5ad', path)
    path.chmod(0o444)
    assert read_h5ad_screen(str(path), REAL['korkut_2015_skmel133'][0]).values.shape == (89, 87)


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
def test_files_that_this_anndata_writes(tmp_path):
    path = str(tmp_path / 'now.h5ad')
    table = obs().astype({'gene': 'category'})
    anndata.AnnData(scipy.sparse.csr_matrix(COUNTS), table, VAR).write_h5ad(path, compression='gzip')
    assert list(read_h5ad_screen(path, CELLS).perturbation) == ['control', 'A', 'A+B', 'A']
