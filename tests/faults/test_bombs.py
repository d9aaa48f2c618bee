"""Small files that would become huge: unpacked, declared or repeated; each is refused before it fills the memory."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from faults_for_tests import ROOT

from perturbjax.errors import InputError
from perturbjax.readers import compressed, declared_sizes
from perturbjax.readers.loading import load
from perturbjax.readers.table import column_names, read_matrix

ZEROS = bytes(2**20)


def in_zip(content, name='a.csv'):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def in_zstd(content):
    return pytest.importorskip('zstandard').compress(content)


PACK = {'gz': gzip.compress, 'bz2': bz2.compress, 'xz': lzma.compress, 'zst': in_zstd, 'zip': in_zip}
FORMS = {
    'long.csv': ('long', b'context,perturbation,readout,value\na,b,c,', b'0'),
    'wide.tsv': ('wide', b'context\tperturbation\tr\n', b'a\tb\t0\n'),
    'lines.gct': ('gct', b'#1.2\n9999999\t99\nNAME\tDescription' + 99 * b'\tp' + b'\n', b'g\tna' + 99 * b'\t0' + b'\n'),
    'one.gct': ('gct', b'#1.2\n', b'0'),
    'a.h5ad': ('h5ad', b'\x89HDF\r\n\x1a\n', b'\0'),
}


def settings(path, source):
    fields = {'perturbation': 'perturbation', 'context_name': 'x'}
    return {'source': source, 'path': str(path), 'scale': 'log-fold-change', 'fields': fields}


def refused(path, source, match):
    with pytest.raises(InputError, match=match) as raised:
        load(settings(path, source))
    assert str(path) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize('kind', PACK)
@pytest.mark.parametrize('form', FORMS)
def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, form, kind):
    monkeypatch.setattr(compressed, 'ALWAYS', 2**19)
    monkeypatch.setattr(compressed, 'TIMES', 50)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'scratch'))
    (tmp_path / 'scratch').mkdir()
    source, head, repeated = FORMS[form]
    path = tmp_path / f'{form}.{kind}'
    path.write_bytes(PACK[kind](head + repeated * (2**20 // len(repeated))))
    refused(path, source, 'unpacks to more than .* unpack it yourself')
    assert not list((tmp_path / 'scratch').iterdir())


def test_lines_that_gct_does_not_declare_are_not_read(tmp_path):
    (tmp_path / 'a.gct').write_text('#1.2\n1\t1\nNAME\tDescription\ta\n' + 9 * 'g\tna\t0\n')
    refused(tmp_path / 'a.gct', 'gct', 'line 5 is one of values too many, for line 2 declares 1')


@pytest.mark.parametrize('kind', PACK)
def test_a_sparse_screen_is_read_even_where_only_the_ratio_counts(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(compressed, 'ALWAYS', 0)
    rng = np.random.default_rng(0)
    values = rng.geometric(0.4, (60, 1000)) * (rng.random((60, 1000)) > 0.99)
    table = pd.DataFrame(values, columns=[f'g{i}' for i in range(1000)]).assign(perturbation='a')
    (tmp_path / f'a.csv.{kind}').write_bytes(PACK[kind](table.to_csv(index=False).encode()))
    read = load(settings(tmp_path / f'a.csv.{kind}', 'wide')).screens[0].values
    np.testing.assert_allclose(read, values.mean(axis=0, keepdims=True), rtol=1e-6)


def zip_of(path, *members):
    """A zip with members of these names; a name with an arrow is a link."""
    with zipfile.ZipFile(path, 'w') as archive:
        for name in members:
            about = zipfile.ZipInfo(name.partition('->')[0])
            about.external_attr = (0o120777 if '->' in name else 0o100644) << 16
            archive.writestr(about, name.partition('->')[2] or 'context,perturbation,r\na,b,1\n')


@pytest.mark.parametrize('name', ['../../outside.csv', '/outside.csv', 'C:\\outside.csv', 'deep/../../outside.csv'])
def test_a_member_with_a_path_is_read_where_it_is(tmp_path, name):
    folder = tmp_path / 'a' / 'b'
    folder.mkdir(parents=True)
    zip_of(folder / 'x.csv.zip', name)
    assert read_matrix(folder / 'x.csv.zip')['r'].tolist() == [1]
    assert [each.name for each in tmp_path.rglob('*')] == ['a', 'b', 'x.csv.zip']


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / 'secret.csv').write_text('context,perturbation,secret\na,b,1\n')
    zip_of(tmp_path / 'x.csv.zip', f'x.csv->{tmp_path}/secret.csv')
    with pytest.raises(InputError):
        read_matrix(tmp_path / 'x.csv.zip')
    with tarfile.open(tmp_path / 'y.csv.gz', 'w:gz') as archive:
        about = tarfile.TarInfo('y.csv')
        about.type, about.linkname = tarfile.SYMTYPE, str(tmp_path / 'secret.csv')
        archive.addfile(about)
    with pytest.raises(InputError):
        read_matrix(tmp_path / 'y.csv.gz')


def encrypted(path):
    zip_of(path, 'a.csv')
    content = path.read_bytes()
    for start in (content.index(b'PK\3\4') + 6, content.index(b'PK\1\2') + 8):
        content = content[:start] + b'\1\0' + content[start + 2 :]
    path.write_bytes(content)


ODD_ZIPS = {
    'holds 2 files': lambda path: zip_of(path, 'a.csv', '../b.csv'),
    'holds 0 files': lambda path: path.write_bytes(in_zip(b'', 'folder/')),
    'the zip cannot be read .*encrypted': encrypted,
}


@pytest.mark.parametrize('told', ODD_ZIPS)
@pytest.mark.parametrize(('name', 'source'), [('a.csv', 'wide'), ('a.gct', 'gct'), ('a.h5ad', 'h5ad')])
def test_odd_zips_are_told(tmp_path, told, name, source):
    ODD_ZIPS[told](tmp_path / f'{name}.zip')
    refused(tmp_path / f'{name}.zip', source, told)


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compressed, 'ALWAYS', 2**19)
    (tmp_path / 'a.xlsx').write_bytes(in_zip(ZEROS, 'xl/worksheets/sheet1.xml'))
    for read in (read_matrix, column_names):
        with pytest.raises(InputError, match=r'a.xlsx: .* unpacks to more than'):
            read(tmp_path / 'a.xlsx')


@pytest.mark.parametrize('last', ['XFD1048576', 'AAA999999'])
def test_a_workbook_with_cells_far_apart_is_refused(tmp_path, last):
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    book.active['A1'] = book.active[last] = 1
    book.save(tmp_path / 'a.xlsx')
    shape = {'XFD1048576': '1048576 lines of 16384 columns', 'AAA999999': '999999 lines of 703 columns'}
    for read in (read_matrix, column_names):
        with pytest.raises(InputError, match=f'sheet1.xml declares {shape[last]}, of which a file of'):
            read(tmp_path / 'a.xlsx')


def test_a_parquet_file_that_declares_too_many_lines_is_refused(tmp_path, monkeypatch):
    pytest.importorskip('pyarrow')
    monkeypatch.setattr(declared_sizes, 'ALWAYS', 2**20)
    monkeypatch.setattr(declared_sizes, 'TIMES', 100)
    pd.DataFrame({'a': np.zeros(2 * 10**6, np.int8)}).to_parquet(tmp_path / 'a.parquet')
    for read in (read_matrix, column_names):
        with pytest.raises(InputError, match=r'it declares 2000000 lines of 1 columns, of which a file of \d+ bytes'):
            read(tmp_path / 'a.parquet')


@pytest.fixture
def screen(tmp_path):
    obs = pd.DataFrame({'perturbation': ['control', 'a', 'b']}, index=['0', '1', '2'])
    return anndata.AnnData(np.ones((3, 2), np.float32), obs, pd.DataFrame(index=['g', 'h']))


def test_arrays_of_other_hdf5_files_are_refused(screen, tmp_path):
    screen.write_h5ad(tmp_path / 'secret.h5ad')
    for name, other in (
        ('X', h5py.ExternalLink(str(tmp_path / 'secret.h5ad'), '/X')),
        ('obs/perturbation', h5py.ExternalLink('/dev/zero', '/X')),
    ):
        screen.write_h5ad(tmp_path / 'a.h5ad')
        with h5py.File(tmp_path / 'a.h5ad', 'r+') as file:
            del file[name]
            file[name] = other
        refused(tmp_path / 'a.h5ad', 'h5ad', f'{name} takes its values from another file')
    screen.write_h5ad(tmp_path / 'a.h5ad')
    with h5py.File(tmp_path / 'a.h5ad', 'r+') as file:
        del file['X']
        layout = h5py.VirtualLayout((3, 2), 'f4')
        layout[:] = h5py.VirtualSource(str(tmp_path / 'secret.h5ad'), 'X', (3, 2))
        file.create_virtual_dataset('X', layout)
    refused(tmp_path / 'a.h5ad', 'h5ad', 'X takes its values from another file')


def test_the_size_of_the_packed_file_counts(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(declared_sizes, 'ALWAYS', 2**20)
    screen.X = scipy.sparse.csr_matrix(screen.X)
    screen.obsm['large'] = np.zeros((3, 2**22), np.float32)
    screen.write_h5ad(tmp_path / 'a.h5ad')
    (tmp_path / 'a.h5ad.xz').write_bytes(lzma.compress((tmp_path / 'a.h5ad').read_bytes()))
    load(settings(tmp_path / 'a.h5ad', 'h5ad'))
    monkeypatch.setattr(declared_sizes, 'TIMES', 1000)
    refused(tmp_path / 'a.h5ad.xz', 'h5ad', 'obsm/large declares the shape')


@pytest.fixture
def zarr_folder(screen, tmp_path):
    with pytest.warns(match='.*'):
        screen.write_zarr(tmp_path / 'a.zarr')
    (tmp_path / 'a.zarr' / '.zmetadata').unlink()
    return tmp_path / 'a.zarr'


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_zarr_folder_that_declares_too_much_is_refused(zarr_folder):
    change(zarr_folder / 'X' / '.zarray', shape=[10**6, 10**6])
    refused(zarr_folder, 'h5ad', r'X declares the shape \(1000000, 1000000\)')


@pytest.mark.parametrize('where', ['X', 'obs/_index'])
def test_a_pickle_in_a_zarr_folder_is_refused(zarr_folder, where):
    change(zarr_folder / where / '.zarray', compressor={'id': 'pickle', 'protocol': 5})
    refused(zarr_folder, 'h5ad', f'{where} is a pickle|No Zarr data type found|anndata cannot read obs')


def test_a_device_in_a_zarr_folder_is_refused(zarr_folder):
    (zarr_folder / 'X' / '0.0').unlink()
    (zarr_folder / 'X' / '0.0').symlink_to('/dev/zero')
    with pytest.raises(InputError, match=r'X/0.0: it is a pipe, a device or a socket'):
        load(settings(zarr_folder, 'h5ad'))


READ = """
import resource, sys
from faults.test_bombs import settings
from perturbjax.errors import InputError
from perturbjax.readers.loading import load
resource.setrlimit(resource.RLIMIT_DATA, 2 * (6 * 2**30,))
try:
    load(settings(*sys.argv[1:]))
except InputError as error:
    print(error)
"""


@pytest.mark.campaign
@pytest.mark.parametrize('form', sorted(FORMS.keys() - {'lines.gct'}))  # which would take minutes
def test_a_bomb_takes_no_more_than_six_gibibytes(tmp_path, form):
    source, head, repeated = FORMS[form]
    part = gzip.compress(repeated * (2**24 // len(repeated)))
    path = tmp_path / f'{form}.gz'
    path.write_bytes(gzip.compress(head) + 48 * part)  # a gzip file may have several members, one after the other
    line = [sys.executable, '-c', READ, str(path), source]
    ended = subprocess.run(line, cwd=ROOT / 'tests', capture_output=True, text=True, check=False)
    assert 'unpacks to more than' in ended.stdout, ended
