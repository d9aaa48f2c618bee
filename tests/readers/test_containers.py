"""Files in other containers: compressed, zarr, MuData, Excel, 10x; the right values, or a sentence with the mend."""

import bz2
import gzip
import importlib.util
import lzma
import pathlib
import sys
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from files_for_tests import GENES, OBS, make, write_gct, write_h5ad

from perturbjax.errors import InputError
from perturbjax.readers import hdf5
from perturbjax.readers.loading import load

ROWS = {'context': 'cell_line', 'perturbation': 'perturbation'}
VALUES = {'A': [2, 20, 0], 'A+B': [4, 40, 0], 'B': [3, 30, 0], 'control': [1, 10, 0]}


@pytest.fixture(autouse=True)
def plain_pandas():
    with pd.option_context('future.infer_string', False):
        yield


def read(path, source, fields=ROWS, **more):
    """The values of each perturbation."""
    compendium = load({'source': source, 'path': str(path), 'scale': 'log2', 'fields': fields, **more})
    (screen,) = compendium.screens
    names = compendium.vocabulary.perturbation_names(screen.perturbation)
    return dict(zip(names, screen.values.tolist(), strict=True))


# What others reported


@pytest.mark.parametrize(('name', 'source'), [('gz.h5ad.gz', 'h5ad'), ('store.zarr', 'h5ad'), ('store.zarr', 'zarr')])
def test_odd_anndata(shared, name, source):
    assert read(shared / 'readers/odd' / name, source) == VALUES


def test_odd_gctx_gz_is_read(shared):
    fields = {'context': 'cell_id', 'perturbation': 'pert_iname', 'control': ('DMSO',)}
    found = read(shared / 'readers/odd/cm.gctx.gz', 'gctx', fields)
    assert found == {
        'control': [0, pytest.approx(0.05), 3.5],
        'geldanamycin': [2, -2, 7.5],
        'vorinostat': [1, pytest.approx(1.6), 5.5],
    }


def test_a_byte_order_mark_is_no_data(shared):
    fields = {'context': 'cell', 'perturbation': 'pert', 'control': ('DMSO',)}
    assert read(shared / 'readers/odd/bom.gct', 'gct', fields) == {'control': [0, 0], 'gel': [2, 2], 'vor': [1, 1]}


def test_odd_tables(shared, caplog):
    fields = {'context': 'cell', 'perturbation': 'drug', 'control': ('DMSO',)}
    right = {'control': [1, 1250], 'gel': [-3.75, 12345], 'vor': [2.25, 2500.5]}
    assert read(shared / 'readers/odd/comment.csv', 'wide', fields) == right
    assert 'comment.csv: 1 lines of comment at the top are skipped' in caplog.text
    assert read(shared / 'readers/odd/semi.csv', 'wide', fields) == right


def test_zstd_is_read_or_names_what_it_needs(shared):
    fields = {'context': 'cell', 'perturbation': 'drug', 'control': ('DMSO',)}
    path = shared / 'readers/odd/comp.csv.zst'
    if importlib.util.find_spec('zstandard'):
        assert read(path, 'wide', fields) == {'control': [1, 1250], 'gel': [-3.75, 12345], 'vor': [2.25, 2500.5]}
    else:
        with pytest.raises(InputError, match="files in zstd need zstandard; pip install 'perturbjax.formats.'"):
            read(path, 'wide', fields)


def test_a_filter_of_hdf5plugin(shared):
    path = shared / 'readers/odd/hdf5plugin_zstd.h5ad'
    if importlib.util.find_spec('hdf5plugin'):
        assert read(path, 'h5ad') == VALUES
    else:
        with pytest.raises(InputError, match="pip install 'perturbjax.formats.' adds hdf5plugin") as error:
            read(path, 'h5ad')
        assert 'damaged' not in str(error.value)


# Compressed files


def packed(path, how):
    data = path.read_bytes()
    target = path.with_name(f'{path.name}.{how}')
    if how == 'zip':
        with zipfile.ZipFile(target, 'w') as archive:
            archive.writestr(path.name, data)
    else:
        target.write_bytes({'gz': gzip.compress, 'bz2': bz2.compress, 'xz': lzma.compress}[how](data))
    return target


@pytest.mark.parametrize('how', ['gz', 'bz2', 'xz', 'zip'])
@pytest.mark.parametrize('name', ['wide.csv', 'three.gct', 'dense.h5ad', 'level5.gctx'])
def test_compressed_files_are_read_as_they_are(tmp_path, monkeypatch, name, how):
    path, given = make(name, tmp_path)
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)  # the values stay in their file
    plain, other = load(given), load({**given, 'path': str(packed(path, how))})
    assert other.screens[0].name == plain.screens[0].name
    np.testing.assert_array_equal(other.screens[0].values, plain.screens[0].values)


def test_compression_is_told_by_content_not_by_name(tmp_path):
    path, given = make('dense.h5ad', tmp_path)
    right = load(given)
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(load(given).screens[0].values, right.screens[0].values)
    write_gct(tmp_path / 'plain.gct')
    (tmp_path / 'plain.gct').rename(tmp_path / 'plain.gct.gz')
    load({**given, 'source': 'gct', 'path': str(tmp_path / 'plain.gct.gz')})


def test_what_cannot_be_unpacked(tmp_path):
    path, given = make('dense.h5ad', tmp_path)
    short = packed(path, 'gz')
    short.write_bytes(short.read_bytes()[:-40])
    with pytest.raises(InputError, match='it cannot be unpacked, because it is damaged or cut short'):
        load({**given, 'path': str(short)})
    with zipfile.ZipFile(tmp_path / 'two.h5ad.zip', 'w') as archive:
        for name in 'ab':
            archive.writestr(name, 'text')
    with pytest.raises(InputError, match='the zip holds 2 files; unpack it and name the one to be read'):
        load({**given, 'path': str(tmp_path / 'two.h5ad.zip')})


def test_a_message_names_the_compressed_file_and_not_its_copy(tmp_path):
    path, given = make('dense.h5ad', tmp_path)
    with h5py.File(path, 'r+') as file:
        file.create_dataset('huge', (3 * 10**9,), 'f8', chunks=(1000,))
    with pytest.raises(InputError, match='dense.h5ad.gz: huge declares the shape'):
        load({**given, 'path': str(packed(path, 'gz'))})


def test_zstd_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'zstandard', None)
    (tmp_path / 'a.csv.zst').write_bytes(b'(\xb5/\xfd' + bytes(9))
    with pytest.raises(InputError, match='a.csv.zst: files in zstd need zstandard'):
        read(tmp_path / 'a.csv.zst', 'wide')


# Excel


def test_excel_is_the_same_table_as_csv(tmp_path, caplog):
    pytest.importorskip('openpyxl')
    path, given = make('wide.csv', tmp_path)
    table = pd.read_csv(path)
    with pd.ExcelWriter(tmp_path / 'wide.xlsx') as file:
        table.to_excel(file, sheet_name='values', index=False)
        table.to_excel(file, sheet_name='notes', index=False)
    plain, excel = load(given), load({**given, 'path': str(tmp_path / 'wide.xlsx')})
    np.testing.assert_array_equal(excel.screens[0].values, plain.screens[0].values)
    assert excel.vocabulary == plain.vocabulary
    assert "wide.xlsx: only the first sheet, 'values', is read, and not 'notes'" in caplog.text
    pd.concat([table, table['e0']], axis=1).to_excel(tmp_path / 'twice.xlsx', index=False)
    with pytest.raises(InputError, match="twice.xlsx: columns are named twice: 'e0'"):
        load({**given, 'path': str(tmp_path / 'twice.xlsx')})


def test_excel_without_its_library(tmp_path, monkeypatch):
    pytest.importorskip('openpyxl')
    pd.DataFrame({'a': [1]}).to_excel(tmp_path / 'a.xlsx')
    monkeypatch.setitem(sys.modules, 'openpyxl', None)
    with pytest.raises(InputError, match="a.xlsx: .xlsx files need openpyxl; pip install 'perturbjax.formats.'"):
        read(tmp_path / 'a.xlsx', 'wide')


# zarr


@pytest.mark.parametrize('form', ['csr', 'csc', 'dense'])
@pytest.mark.parametrize('version', [2, 3])
@pytest.mark.filterwarnings('ignore')
def test_a_zarr_folder_is_read_as_h5ad_is(tmp_path, monkeypatch, version, form):
    values = np.arange(len(OBS) * len(GENES), dtype=np.float32).reshape(len(OBS), -1)
    block = values if form == 'dense' else getattr(scipy.sparse, f'{form}_matrix')(values)
    data = anndata.AnnData(block, OBS, pd.DataFrame(index=GENES))
    with anndata.settings.override(zarr_write_format=version):
        data.write_zarr(tmp_path / 'a.zarr')
    data.write_h5ad(tmp_path / 'a.h5ad')
    fields = {'context': 'cell', 'perturbation': 'gene', 'control': ('ctrl',), 'readout_where': {'index': ['e1', 'e3']}}
    known = {'scale': 'log2', 'fields': fields}
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    right, found = (load({**known, 'source': 'h5ad', 'path': str(tmp_path / f'a.{end}')}) for end in ('h5ad', 'zarr'))
    np.testing.assert_array_equal(found.screens[0].values, right.screens[0].values)
    # A folder of zarr folders, and a pattern, are several screens.
    assert load({**known, 'source': 'zarr', 'path': str(tmp_path / '*.zarr')}).vocabulary == right.vocabulary


def test_what_is_no_anndata_in_zarr(tmp_path):
    (tmp_path / 'a.zarr').mkdir()
    (tmp_path / 'a.zarr/zarr.json').write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(InputError, match='a.zarr: this is not an h5ad file; it has no obs and var'):
        read(tmp_path / 'a.zarr', 'zarr')
    (tmp_path / 'a.zarr/zarr.json').write_text('{')
    with pytest.raises(InputError, match='a.zarr: cannot be read as h5ad in a zarr folder, it is damaged'):
        read(tmp_path / 'a.zarr', 'zarr')


# MuData and 10x


def write_h5mu(path, **modalities):
    """A file as MuData writes it: each modality an AnnData under /mod, and an obs of all."""
    with h5py.File(path, 'w') as file:
        for name, values in modalities.items():
            write_h5ad(path.with_name('one.h5ad'), values, OBS[['cell']])
            with h5py.File(path.with_name('one.h5ad')) as one:
                file.copy(one['/'], f'mod/{name}')
        anndata.io.write_elem(file, 'obs', OBS[['gene']].iloc[::-1])
        anndata.io.write_elem(file, 'var', pd.DataFrame(index=GENES))


def test_a_modality_of_mudata(tmp_path):
    values = np.arange(len(OBS) * len(GENES), dtype=np.float32).reshape(len(OBS), -1)
    write_h5mu(tmp_path / 'a.h5mu', rna=values, protein=values + 1)
    fields = {'context_name': 'all', 'perturbation': 'gene', 'control': ('ctrl',), 'where': {'cell': 'k'}}
    rna, protein = (read(tmp_path / 'a.h5mu', 'h5mu', fields, modality=name) for name in ('rna', 'protein'))
    control = ((OBS['gene'] == 'ctrl') & (OBS['cell'] == 'k')).to_numpy()
    assert rna['control'] == values[control].mean(axis=0).tolist()
    assert protein['A'] == [each + 1 for each in rna['A']]
    with pytest.raises(
        InputError, match="data.modality: this is MuData; choose one of its modalities, 'protein', 'rna'"
    ):
        read(tmp_path / 'a.h5mu', 'h5mu', fields)
    write_h5mu(tmp_path / 'b.h5mu', rna=values)
    assert read(tmp_path / 'b.h5mu', 'h5ad', fields) == rna
    write_h5ad(tmp_path / 'c.h5ad', values)
    with pytest.raises(InputError, match="this is not MuData, so it has no modality 'rna'"):
        read(tmp_path / 'c.h5ad', 'h5ad', fields, modality='rna')


def test_10x_has_no_perturbations(tmp_path):
    with h5py.File(tmp_path / 'filtered_feature_bc_matrix.h5', 'w') as file:
        file['matrix/barcodes'], file['matrix/data'] = np.array(['AAA'], 'S'), np.array([1])
    with pytest.raises(InputError, match='a file of 10x Cell Ranger, which does not say how cells were perturbed'):
        read(tmp_path / 'filtered_feature_bc_matrix.h5', 'h5ad')


# Columns that describe rows


def test_metadata_is_not_taken_for_readouts_in_silence(tmp_path, caplog):
    table = pd.DataFrame({'cell_line': 'k', 'perturbation': ['control', 'A'], 'STAT1': [1.0, 2.0]})
    path = tmp_path / 'a.csv'
    table.assign(plate=[1, 2], Well_ID=[3, 4]).to_csv(path, index=False)
    read(path, 'wide')
    assert "a.csv: the columns 'plate', 'Well_ID' are taken as readouts" in caplog.text
    mended = {**ROWS, 'readout_where': {'index': {'not': ['plate', 'Well_ID']}}}
    caplog.clear()
    assert read(path, 'wide', mended) == {'A': [2], 'control': [1]}
    assert not caplog.text
    table.assign(is_hit=[True, False]).to_csv(path, index=False)
    with pytest.raises(InputError, match="a.csv: the columns 'is_hit' hold True and False, so they are no readouts"):
        read(path, 'wide')


def test_all_odd_files_of_this_kind_are_known(shared):
    """Those that are about names and counts are tested with names and counts."""
    others = {'conditions_case.h5ad', 'conditions_underscore.h5ad', 'many_guides.h5ad', 'nothing_words.h5ad'}
    others |= {'raw_counts.h5ad', 'log_twice.h5ad', 'space.gct', 'README.md'}
    here = {'gz.h5ad.gz', 'cm.gctx.gz', 'hdf5plugin_zstd.h5ad', 'store.zarr', 'bom.gct', 'semi.csv', 'comment.csv'}
    assert {path.name for path in pathlib.Path(shared / 'readers/odd').iterdir()} == here | others | {'comp.csv.zst'}
