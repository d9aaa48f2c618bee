import gzip

import h5py
import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.gct import read_gct
from perturbjax.readers.gctx import read_gctx
from perturbjax.readers.naming.fields import Fields

NAN = np.nan
GCT3 = """#1.3
3\t2\t1\t3
id\tsymbol\ts1\ts2
cell\tna\tA\tA
drug\tna\tx\tDMSO
time\tna\t24.0\t-666
r1\tS1\t1\tNA
r2\tS2\t-2.5\t3e0
r3\tS2\t\t0
"""
GCT2 = '#1.2\n2\t3\nName\tDescription\tx\tDMSO\ty\nr1\tone\t1\t2\t3\nr2\ttwo\t4\t5\t6\n'
FIELDS = Fields(context='cell', perturbation='drug', control=('DMSO',))
LINCS = Fields(
    context='{cell_id}_{pert_time}h',
    perturbation='{pert_iname}-{pert_dose}uM',
    control=('ctrl_vehicle',),
    control_column='pert_type',
    separator='',
    perturbation_type='Compound',
)


def written(folder, text, name='plate.gct'):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_gct_3(tmp_path):
    screen = read_gct(written(tmp_path, GCT3), FIELDS)
    assert screen.name == 'plate'
    assert (list(screen.context), list(screen.perturbation)) == (['A', 'A'], ['x', 'control'])
    assert list(screen.readout) == ['r1', 'r2', 'r3']
    assert screen.values.dtype == np.float32
    assert screen.values.flags.c_contiguous
    np.testing.assert_array_equal(screen.values, [[1, -2.5, NAN], [NAN, 3, 0]])


def test_gct_chosen_by_metadata(tmp_path):
    fields = Fields(context='{cell}_{time}h', perturbation='drug', where={'time': 24}, readout_where={'symbol': 'S2'})
    screen = read_gct(written(tmp_path, GCT3), fields)
    assert list(screen.context) == ['A_24h']
    np.testing.assert_array_equal(screen.values, [[-2.5, NAN]])
    with pytest.raises(InputError, match=r"data.fields.context: 1 of 2 rows have no value in the column 'time'"):
        read_gct(written(tmp_path, GCT3), Fields(context='{cell}_{time}h', perturbation='drug'))


def test_gct_2_has_names_and_nothing_else(tmp_path):
    path = str(tmp_path / 'old.gct.gz')
    with gzip.open(path, 'wt') as file:
        file.write(GCT2.replace('\n', '\r\n') + '\n')
    fields = Fields(context_name='c', perturbation='index', control=('DMSO',), readout='Description')
    screen = read_gct(path, fields)
    assert screen.name == 'old'
    assert (list(screen.perturbation), list(screen.readout)) == (['x', 'control', 'y'], ['one', 'two'])
    np.testing.assert_array_equal(screen.values, [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (GCT3, '', "this is not a GCT file; its first line is ''"),
        ('#1.3', 'gene,x', "its first line is 'gene,x', not #1.2 or #1.3"),
        ('3\t2\t1\t3', '3\t2', r'line 2 should declare the shape in 4 numbers'),
        ('3\t2\t1\t3', '3\t2\t1\tx', r'line 2 should declare the shape in 4 numbers'),
        ('3\t2\t1\t3', '4\t2\t1\t3', r'3 lines of values, but line 2 declares 4; is it cut short\?'),
        ('3\t2\t1\t3', '3\t5\t1\t3', r'line 3 has 4 cells, but by line 2 it should have 7'),
        ('3e0', '3e0\t1', 'line 8 has 5 cells, but by line 2 it should have 4'),
        ('-2.5', 'low', r"line 8 has a value that is not a number \(could not convert string to float: 'low'\)"),
        ('time\t', 'cell\t', "fields are named twice in 'cell', 'drug', 'cell'"),
        ('r2', 'r1', "readouts are named twice: 'r1'"),
        ('r3\tS2\t\t0\n', 'r3\tS2', r'line 9 has 2 cells'),
    ],
)
def test_malformed_gct(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        read_gct(written(tmp_path, GCT3.replace(old, new)), FIELDS)


def test_what_is_no_gct(tmp_path):
    with pytest.raises(InputError, match='there is no such file'):
        read_gct(str(tmp_path / 'none.gct'), FIELDS)
    whole = gzip.compress(GCT3.encode(), mtime=0)
    (tmp_path / 'short.gct.gz').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match='cannot be read as GCT, because it is damaged'):
        read_gct(str(tmp_path / 'short.gct.gz'), FIELDS)
    (tmp_path / 'binary.gct').write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match='this is not a GCT file'):
        read_gct(str(tmp_path / 'binary.gct'), FIELDS)


@pytest.fixture
def compounds(tmp_path):
    """A GCTX of 7 signatures by 5 genes without metadata, its siginfo and geneinfo, and its values."""
    values = np.arange(35, dtype=np.float32).reshape(7, 5)
    ids = [f'SIG{i}' for i in range(7)]
    with h5py.File(tmp_path / 'level5.gctx', 'w') as file:
        file.create_dataset('0/DATA/0/matrix', data=values, chunks=(2, 5))
        file['0/META/COL/id'] = np.array(ids, 'S')
        file['0/META/ROW/id'] = np.array(['10', '20', '30', '40', '50'], 'S')
    info = pd.DataFrame({'sig_id': ids, 'cmap_name': list('abcdefg'), 'cell_iname': ['A549'] * 3 + ['PC3'] * 4})
    info['pert_type'] = ['trt_cp'] * 6 + ['ctl_vehicle']
    info['pert_idose'] = ['10 uM'] * 4 + ['0.1 uM', '10 uM', '-666']
    info['is_hiq'] = [1, 0, 1, 1, 1, 1, 1]
    other = pd.DataFrame({'sig_id': ['elsewhere'], 'cmap_name': ['z'], 'pert_idose': ['10 uM']})
    table = pd.concat([info[::-1], other])
    table.to_csv(tmp_path / 'siginfo.txt', sep='\t', index=False)
    table.to_csv(tmp_path / 'siginfo.txt.gz', sep='\t', index=False)
    genes = pd.DataFrame({'gene_id': [50, 40, 30, 20, 10], 'gene_symbol': list('EDCBA')})
    genes['feature_space'] = ['inferred', 'landmark', 'landmark', 'inferred', 'landmark']
    genes.to_csv(tmp_path / 'geneinfo.txt', sep='\t', index=False)
    return tmp_path, values


SIGINFO = Fields(
    context='cell_iname',
    perturbation='{cmap_name}-{pert_idose}',
    control=('ctl_vehicle',),
    control_column='pert_type',
    readout='gene_symbol',
    where={'is_hiq': 1, 'pert_idose': '10 uM'},
    readout_where={'feature_space': 'landmark'},
)


@pytest.mark.parametrize('ending', ['txt', 'txt.gz'])
def test_gctx_with_siginfo(compounds, ending):
    folder, values = compounds
    siginfo, geneinfo = str(folder / f'siginfo.{ending}'), str(folder / 'geneinfo.txt')
    screen = read_gctx(str(folder / 'level5.gctx'), SIGINFO, siginfo, geneinfo)
    assert screen.name == 'level5'
    assert list(screen.perturbation) == [f'{name}-10uM' for name in 'acdf']
    assert list(screen.context) == ['A549', 'A549', 'PC3', 'PC3']
    assert list(screen.readout) == ['A', 'C', 'D']
    np.testing.assert_array_equal(screen.values, values[np.ix_([0, 2, 3, 5], [0, 2, 3])])


def test_a_control_signature_needs_no_dose(compounds):
    folder, values = compounds
    fields = Fields(**{**vars(SIGINFO), 'where': {'sig_id': ('SIG6', 'SIG4')}, 'readout': '', 'readout_where': {}})
    screen = read_gctx(str(folder / 'level5.gctx'), fields, str(folder / 'siginfo.txt'))
    assert list(screen.perturbation) == ['e-0.1uM', 'control']
    assert list(screen.readout) == ['10', '20', '30', '40', '50']
    np.testing.assert_array_equal(screen.values, values[[4, 6]])


def test_siginfo_of_another_release_is_refused(compounds):
    folder, _ = compounds
    path, siginfo = str(folder / 'level5.gctx'), folder / 'siginfo.txt'
    with pytest.raises(InputError, match=r"siginfo.txt: there is no column 'is_hi'; there are 'sig_id', 'cmap_name'"):
        read_gctx(path, Fields(context='cell_iname', perturbation='cmap_name', where={'is_hi': 1}), str(siginfo))
    with pytest.raises(InputError, match=r"level5.gctx: there is no column 'cell_iname', .*; there are 'id'"):
        read_gctx(path, SIGINFO)
    table = pd.read_csv(siginfo, sep='\t')
    table[table.sig_id != 'SIG3'].to_csv(siginfo, sep='\t', index=False)
    with pytest.raises(InputError, match=r"1 of the 7 ids of .* are not in the column sig_id, such as 'SIG3'"):
        read_gctx(path, SIGINFO, str(siginfo))
    table.iloc[[0, *range(len(table))]].to_csv(siginfo, sep='\t', index=False)
    with pytest.raises(InputError, match=r"sig_id is there twice: 'elsewhere|SIG6'"):
        read_gctx(path, SIGINFO, str(siginfo))


def test_what_is_no_gctx(tmp_path):
    with h5py.File(tmp_path / 'x.gctx', 'w') as file:
        file['X'] = [1.0]
    with pytest.raises(InputError, match=r"this is not a GCTX file; it has no /0/DATA/0/matrix with ids, but 'X'"):
        read_gctx(str(tmp_path / 'x.gctx'), FIELDS)
    with h5py.File(tmp_path / 'x.gctx', 'w') as file:
        file['0/DATA/0/matrix'] = np.zeros((2, 3))
        file['0/META/COL/id'], file['0/META/ROW/id'] = [b'a', b'b', b'c'], [b'x', b'y']
    with pytest.raises(InputError, match=r'the matrix is \(2, 3\), but there are 3 ids of profiles and 2 of readouts'):
        read_gctx(str(tmp_path / 'x.gctx'), Fields(context_name='a', perturbation='id'))
    with pytest.raises(InputError, match='cannot be read as GCTX'):
        read_gctx(written(tmp_path, GCT3, 'text.gctx'), FIELDS)
    with pytest.raises(InputError, match='there is no such file'):
        read_gctx(str(tmp_path / 'none.gctx'), FIELDS)


@pytest.mark.parametrize(
    ('name', 'perturbation', 'first'),
    [
        ('level3_lm_n5x978', '{pert_iname}-{pert_dose}uM', 'Trametinib-0.5uM'),
        ('level5_s2n_lm_n5x978', 'class_a', 'Trametinib'),
    ],
)
def test_gct_and_gctx_twins(shared, name, perturbation, first):
    fields = Fields(context_name='42MGBA', perturbation=perturbation, readout='pr_gene_symbol')
    text = read_gct(str(shared / 'readers' / f'{name}.gct'), fields)
    binary = read_gctx(str(shared / 'readers' / f'{name}.gctx'), fields)
    assert text.name == binary.name == name
    assert text.perturbation[0] == first
    for axis in ('context', 'perturbation', 'readout'):
        assert list(getattr(text, axis)) == list(getattr(binary, axis))
    np.testing.assert_allclose(text.values, binary.values, atol=0.51e-4)  # the text has four decimals


def test_real_gctx(shared):
    fields = Fields(context='{cell_id}_{exp_pert_time}h', perturbation='pert_desc', readout='pr_gene_symbol')
    screen = read_gctx(str(shared / 'l1000_litmus_pc3.gctx'), fields)
    assert screen.values.shape == (757, 978)
    assert set(screen.context) == {'PC3_96h'}
    assert list(screen.readout[:2]) == ['PSME1', 'CISD1']
    viability = Fields(context_name='24h', perturbation='pert_iname', perturbation_type='Compound', readout='ccle_name')
    prism = read_gctx(str(shared / 'readers' / 'cell_viability_log2auc_n10x489.gctx'), viability)
    assert (prism.values.shape, prism.readout[0]) == ((10, 489), 'KYSE510_OESOPHAGUS')
    bare = Fields(context='{index:_1}', perturbation='{index::1}', separator='')
    screen = read_gctx(str(shared / 'readers' / 'norm_pert_n5x10.gctx'), bare)
    assert (screen.context[0], screen.perturbation[0]) == ('A375', 'BRD-A07824748-001-02-6')


def test_real_plates(shared):
    paths = sorted((shared / 'lincs_p100_gcp').glob('*.gct'))
    screens = [read_gct(str(path), LINCS) for path in paths]
    assert len(screens) == 9
    contexts = {name for screen in screens for name in screen.context}
    assert contexts == {f'{each}_24h' for each in ('NPC', 'A375', 'MCF7', 'A549', 'PC3')} | {
        'MCF7_3h', 'MCF7_6h', 'YAPC_3h'}  # fmt: skip
    for screen in screens:
        assert len(set(screen.perturbation) - {'control'}) == 31
        assert (screen.perturbation == 'control').sum() == 3
    assert 'Compound_flavopiridol-0.4uM' in screens[0].perturbation
    assert screens[0].values[0, 0] == np.float32(1.30970007359729)
    assert np.isnan(screens[0].values).sum() > 0
