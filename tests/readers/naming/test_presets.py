"""Every preset reads a small file of its form, with one line of config."""

import inspect

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax.errors import InputError, check_settings
from perturbjax.readers.loading import load
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.presets import PRESETS, with_preset
from perturbjax.readers.sources import READERS

pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

NAN = np.nan
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
SPARSE = scipy.sparse.csr_matrix(VALUES)
GENES = pd.DataFrame({'gene_name': ['X', 'Y', 'Z']}, index=['ENSG1', 'ENSG2', 'ENSG3'])


def write(folder, values, obs, var=GENES, **more):
    """An h5ad file; obs as columns, or a table of its own."""
    obs = pd.DataFrame(obs, index=[f'c{i}' for i in range(4)]) if isinstance(obs, dict) else obs
    anndata.AnnData(values, obs, var, **more).write_h5ad(folder / 'file.h5ad')
    return str(folder / 'file.h5ad')


def profiles(settings):
    """The one screen as {(context, perturbation): values}, and the names of its readouts."""
    compendium = load(settings)
    (screen,) = compendium.screens
    names = compendium.table()[['context', 'perturbation']].itertuples(index=False, name=None)
    return dict(zip(names, screen.values.tolist())), [compendium.vocabulary.readouts[i] for i in screen.readout]


@pytest.mark.parametrize('name', PRESETS)
def test_presets_hold_only_settings_that_exist(name):
    settings = with_preset(name, fields={'context_name': 'K562'})
    reader = READERS[settings.pop('source')]
    check_settings(Fields, settings['fields'], name)
    assert Fields(**settings['fields']).context == ''
    assert set(settings) <= {'fields', 'counts', 'scale', *list(inspect.signature(reader).parameters)[2:]}


def test_what_the_user_says_counts():
    settings = with_preset(
        'gears', counts=True, fields={'perturbation_type': 'CRISPRi', 'context_name': 'K562'}, source='long'
    )
    assert (settings['counts'], settings['source'], settings['scale']) == (True, 'long', 'log1p')
    assert settings['fields'] == {
        'context_name': 'K562', 'perturbation_type': 'CRISPRi', 'perturbation': 'condition', 'control': ('ctrl',),
        'readout': 'gene_name',
    }  # fmt: skip
    assert with_preset('gears')['fields']['context'] == 'cell_type'
    assert with_preset(path='x') == {'path': 'x'}
    with pytest.raises(InputError, match=r"data.preset: no such preset \['gears'\]; did you mean 'gears'"):
        with_preset(['gears'])
    with pytest.raises(
        InputError, match="data.fields: expected a mapping of setting names to values, got 'perturbation_type'"
    ):
        with_preset('gears', fields='perturbation_type')


def test_gears(tmp_path):
    path = write(tmp_path, SPARSE, {'condition': ['ctrl', 'A+ctrl', 'ctrl+A', 'B+A'], 'cell_type': 'K562'})
    found, readouts = profiles({'preset': 'gears', 'path': path})
    assert found == {('K562', 'control'): [0, 1, 2], ('K562', 'A'): [4.5, 5.5, 6.5], ('K562', 'A+B'): [9, 10, 11]}
    assert readouts == ['X', 'Y', 'Z']


@pytest.mark.parametrize('context', ['cell_line', 'celltype'])
def test_scperturb(tmp_path, context, caplog):
    names = ['control', 'A', 'B_C', 'A_B', 'C', 'A_B_C', 'B_C_A', 'A_D']
    obs = pd.DataFrame({'perturbation': pd.Categorical(names), context: 'K562', 'nperts': '1'}, list('abcdefgh'))
    path = write(tmp_path, scipy.sparse.csr_matrix(np.ones((8, 3))), obs)
    found, readouts = profiles({'preset': 'scperturb', 'path': path})
    # A_B_C is A+B_C or A_B+C; B_C_A can only be A+B_C
    assert {name for _, name in found} == {'control', 'A', 'B_C', 'A_B', 'C', 'A_B_C', 'A+B_C', 'A_D'}
    assert readouts == ['ENSG1', 'ENSG2', 'ENSG3']
    assert "3 values contain _ but are not made of known parts: 'B_C', 'A_B', 'A_D'." in caplog.text
    assert "1 values contain _ but can be split in several ways, so they stay whole: 'A_B_C'." in caplog.text


def test_pertpy(tmp_path):
    path = write(tmp_path, VALUES, {'perturbation_name': ['control', 'A', 'B', 'B+A'], 'cell_type': 'K562'})
    found, _ = profiles({'preset': 'pertpy', 'path': path, 'scale': 'log1p'})
    assert set(found) == {('K562', name) for name in ('control', 'A', 'B', 'A+B')}
    with pytest.raises(InputError, match="the setting 'scale' is needed"):
        load({'preset': 'pertpy', 'path': path})


@pytest.mark.parametrize('kind', ['', 'CRISPRa'])
def test_cpa_of_genes(tmp_path, kind):
    obs = {'condition': ['ctrl', 'A+ctrl', 'B', 'A+B'], 'dose_val': ['1.0', '1.0+1.0', '1.0', '1.0+1.0']}
    path = write(tmp_path, VALUES, {**obs, 'cell_type': 'K562'})
    found, _ = profiles({'preset': 'cpa', 'path': path, 'scale': 'log1p', 'fields': {'perturbation_type': kind}})
    start = f'{kind}_' if kind else ''
    assert {name for _, name in found} == {'control', f'{start}A', f'{start}B', f'{start}A+{start}B'}


def test_cpa_of_drugs(tmp_path):
    obs = {'condition': ['ctrl', 'x', 'y+x', 'x+y'], 'dose_value': ['1.0', '10.0', '0.5+10.0', '10.0+0.5']}
    path = write(tmp_path, VALUES, {**obs, 'cell_type': 'A549'})
    drugs = {'perturbation_type': 'Compound', 'dose': '{dose_value}uM'}
    found, _ = profiles({'preset': 'cpa', 'path': path, 'scale': 'log1p', 'fields': drugs})
    assert {name for _, name in found} == {'control', 'Compound_x-10uM', 'Compound_x-10uM+Compound_y-0.5uM'}
    path = write(tmp_path, VALUES, {**obs, 'dose_value': ['1.0', '10', '0.5', '1+2'], 'cell_type': 'A549'})
    with pytest.raises(InputError, match=r"data.fields.dose: 'y\+x' has 2 parts, but its doses are '0.5uM'; give one"):
        load({'preset': 'cpa', 'path': path, 'scale': 'log1p', 'fields': drugs})


def test_replogle_bulk(tmp_path, caplog):
    index = ['0_A1BG_P1_ENSG1', '9_STAT1_P1P2_ENSG2', '10_non-targeting_non-targeting_non-targeting', '7_A1BG_P2_ENSG1']
    values = VALUES.copy()
    values[1, :2] = np.inf, -np.inf
    path = write(tmp_path, values, pd.DataFrame({'core': [0.1] * 4}, index))
    found, readouts = profiles({'preset': 'replogle_bulk', 'path': path, 'fields': {'context_name': 'K562'}})
    assert found[('K562', 'CRISPRi_A1BG')] == [4.5, 5.5, 6.5]
    np.testing.assert_array_equal(found[('K562', 'CRISPRi_STAT1')], [NAN, NAN, 5])
    assert (set(found), readouts) == (
        {('K562', name) for name in ('control', 'CRISPRi_A1BG', 'CRISPRi_STAT1')}, ['X', 'Y', 'Z']
    )  # fmt: skip
    assert '2 infinite values are taken as not measured' in caplog.text
    with pytest.raises(InputError, match='context_name'):
        load({'preset': 'replogle_bulk', 'path': path})


def shards():
    table = pd.DataFrame(
        [
            ('k', 'Control', 'Transcriptome_X', 1.0),
            ('k', 'CRISPRi_B+CRISPRi_A', 'Transcriptome_X', 2.0),
            ('k', 'CRISPR-KO_A', 'Viability_all', 3.0),
            ('r', 'drug-10uM', 'Transcriptome_X', 4.0),
            ('r', 'drug-10uM', 'Transcriptome_X', 6.0),
            ('r', 'Control', 'Transcriptome_X', 0.0),
        ],
        columns=['context', 'perturbation', 'readout', 'value'],
    )
    wanted = {
        ('k', 'control'): [1, NAN], ('k', 'CRISPRi_A+CRISPRi_B'): [2, NAN], ('k', 'CRISPR-KO_A'): [NAN, 3],
        ('r', 'Compound_drug-10uM'): [5, NAN], ('r', 'control'): [0, NAN],
    }  # fmt: skip
    return table, wanted


@pytest.mark.parametrize('form', ['cache', 'file', 'folder of others'])
def test_perturblib(tmp_path, form):
    pytest.importorskip('pyarrow')
    table, wanted = shards()
    path = tmp_path / ('one.parquet' if form == 'file' else 'Replogle_K562')
    if form == 'file':
        table.to_parquet(path)
    else:
        path.mkdir()
        stem = 'shard' if form == 'cache' else 'part'
        table[:2].to_parquet(path / f'{stem}_000000.parquet')
        table[2:].to_parquet(path / f'{stem}_000001.parquet')
    if form == 'cache':  # what perturblib puts beside the shards
        (path / 'info.json').write_text('{"SHARDSIZE": 200000}')
        pd.DataFrame({'shard_path': ['a'], 'perturbations': [['A', 'B']]}).to_parquet(path / 'metadata.parquet')
    found, readouts = profiles({'preset': 'perturblib', 'path': str(path), 'scale': 'z-score'})
    assert readouts == ['X', 'Viability_all']
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def lincs(folder, siginfo, geneinfo):
    """A level-5 GCTX of 5 signatures by 3 genes, and the tables beside it."""
    with h5py.File(folder / 'level5.gctx', 'w') as file:
        file['0/DATA/0/matrix'] = np.arange(15, dtype=np.float32).reshape(5, 3)
        file['0/META/COL/id'] = np.array([f'S{i}' for i in range(5)], 'S')
        file['0/META/ROW/id'] = np.array(['10', '20', '30'], 'S')
    for name, table in {**siginfo, **geneinfo}.items():
        pd.DataFrame(table).to_csv(folder / name, sep='\t', index=False)
    tables = [list(map(str, map(folder.joinpath, each))) for each in (siginfo, geneinfo)]
    return {'path': str(folder / 'level5.gctx'), 'siginfo': tables[0][0], 'geneinfo': tables[1][0]}, tables[0]


SIGNATURES = [f'S{i}' for i in range(5)]
TYPES = ['trt_cp', 'trt_cp', 'trt_cp', 'ctl_vehicle', 'trt_xpr']
QUALITY = [0.5, 0.19, -666, 0.9, 0.2]


def test_lincs_2020(tmp_path):
    siginfo = {
        'sig_id': SIGNATURES, 'cmap_name': ['x', 'x', 'y', 'DMSO', 'STAT1'], 'pert_type': TYPES, 'cell_iname': 'A549',
        'pert_idose': ['10 uM', '0.04 uM', '10 uM', '-666', None], 'is_hiq': [1, 1, 0, 1, 1], 'cc_q75': QUALITY,
    }  # fmt: skip
    geneinfo = {
        'gene_id': [10, 20, 30], 'gene_symbol': ['X', 'Y', 'Z'], 'feature_space': ['landmark', 'inferred', 'landmark']
    }  # fmt: skip
    settings, _ = lincs(tmp_path, {'siginfo_beta.txt': siginfo}, {'geneinfo_beta.txt': geneinfo})
    quality = {'where': {'cc_q75': {'at_least': 0.2}, 'pert_type': {'not': 'trt_xpr'}}, 'perturbation_type': 'Compound'}
    found, readouts = profiles({'preset': 'lincs_2020', **settings, 'fields': quality})
    assert found == {('A549', 'Compound_x-10uM'): [0, 2], ('A549', 'control'): [9, 11]}
    assert readouts == ['X', 'Z']
    genes = {'where': {'pert_type': 'trt_xpr'}, 'perturbation_type': 'CRISPR-KO'}
    assert profiles({'preset': 'lincs_2020', **settings, 'fields': genes})[0] == {('A549', 'CRISPR-KO_STAT1'): [12, 14]}


def test_lincs_2017(tmp_path):
    siginfo = {
        'sig_id': SIGNATURES, 'pert_iname': ['x', 'x', 'y', 'DMSO', 'STAT1'], 'pert_type': TYPES, 'cell_id': 'A549',
        'pert_idose': ['10 µM', '10.0 um', '500 nM', '-666', '1.5 µL'],
    }  # fmt: skip
    metrics = {'sig_id': SIGNATURES[::-1], 'distil_cc_q75': QUALITY[::-1], 'pert_type': TYPES[::-1]}
    geneinfo = {'pr_gene_id': [10, 20, 30], 'pr_gene_symbol': ['X', 'Y', 'Z'], 'pr_is_lm': [1, 0, 1]}
    tables = {'sig_info.txt.gz': siginfo, 'sig_metrics.txt': metrics}
    settings, several = lincs(tmp_path, tables, {'gene_info.txt': geneinfo})
    fields = {'where': {'pert_type': ('trt_cp', 'ctl_vehicle')}, 'perturbation_type': 'Compound'}
    found, readouts = profiles({'preset': 'lincs_2017', **settings, 'fields': fields})
    assert found == {
        ('A549', 'Compound_x-10uM'): [1.5, 3.5], ('A549', 'Compound_y-0.5uM'): [6, 8], ('A549', 'control'): [9, 11]
    }  # fmt: skip
    assert readouts == ['X', 'Z']
    fields['where']['distil_cc_q75'] = {'at_least': 0.2}
    found, _ = profiles({'preset': 'lincs_2017', **settings, 'siginfo': several, 'fields': fields})
    assert found == {('A549', 'Compound_x-10uM'): [0, 2], ('A549', 'control'): [9, 11]}


@pytest.mark.parametrize('target', ['target', 'target_gene'])
def test_cell_eval(tmp_path, target):
    obs = {target: ['non-targeting', 'A', 'A', 'B'], 'celltype': ['H1', 'H1', 'H1', 'H1']}
    found, readouts = profiles({'preset': 'cell_eval', 'path': write(tmp_path, VALUES, obs)})
    assert found == {('H1', 'control'): [0, 1, 2], ('H1', 'A'): [4.5, 5.5, 6.5], ('H1', 'B'): [9, 10, 11]}
    assert readouts == list(GENES.index)
    del obs['celltype']
    path = write(tmp_path, VALUES, obs)
    with pytest.raises(InputError, match=f"data.fields.context: there is no column 'celltype'; there are {target!r}"):
        load({'preset': 'cell_eval', 'path': path})
    found, _ = profiles({'preset': 'cell_eval', 'path': path, 'fields': {'context_name': 'K562'}})
    assert set(found) == {('K562', name) for name in ('control', 'A', 'B')}


def test_openproblems(tmp_path):
    obs = {'cell_type': ['B cells', 'B cells', 'T cells', 'T cells'], 'sm_name': ['x', 'K+-(+)y', 'x', 'z']}
    layers = {'logFC': VALUES, 'clipped_sign_log10_pval': VALUES + 1}
    path = write(tmp_path, None, obs, layers=layers)
    found, _ = profiles({'preset': 'openproblems', 'path': path})
    assert found[('B cells', 'Compound_K(+)-(+)y')] == [3, 4, 5]
    found, _ = profiles({'preset': 'openproblems', 'path': path, 'layer': 'clipped_sign_log10_pval'})
    assert found[('T cells', 'Compound_z')] == [10, 11, 12]
