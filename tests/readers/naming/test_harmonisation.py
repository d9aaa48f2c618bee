"""One name for one gene: each rule by itself, on names as the files have them."""

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.readers.naming.genes import ensembl_id, read_gene_table, read_genes
from perturbjax.readers.naming.harmonisation import harmonise
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble

STAT1, JAK2, TBCE, TBCE2 = (f'ENSG000001{number:05}' for number in (15415, 96968, 84770, 82986))
PAIRS = pd.DataFrame({'gene_name': ['STAT1', 'JAK2', 'TBCE', 'TBCE'], 'id': [STAT1, JAK2, TBCE, TBCE2]})


@pytest.fixture
def table(tmp_path):
    PAIRS.to_csv(tmp_path / 'genes.csv', index=False)
    return str(tmp_path / 'genes.csv')


def screen(readouts, perturbations=('control', 'CRISPRi_X'), name='screen'):
    values = np.arange(len(perturbations) * len(readouts), dtype=np.float32).reshape(len(perturbations), -1)
    return measurements([('a', each, row) for each, row in zip(perturbations, values)], readouts, name)


def readouts(*names, **settings):
    """The names that readouts of several screens get, a list of them for each."""
    return [list(each.readout) for each in harmonise([screen(list(some)) for some in names], **settings)]


def test_ids_lose_their_version():
    assert readouts(['ENSG00000115415.20', 'ensmusg00000026104.2', 'x.2']) == [
        ['ENSG00000115415', 'ENSMUSG00000026104', 'x.2']
    ]
    assert ensembl_id('ENST00000361099') == ''


def test_capitals_follow_the_first_screen():
    assert readouts(['C1orf112', 'p65'], ['C1ORF112', 'P65', 'other']) == [
        ['C1orf112', 'p65'],
        ['C1orf112', 'p65', 'other'],
    ]


def test_symbols_and_ids_become_one_name(table):
    names = (['STAT1', 'jak2', 'none'], [f'{STAT1}.20', JAK2, 'ENSG00000000001.1'])
    assert readouts(*names, table=table) == [['STAT1', 'JAK2', 'none'], ['STAT1', 'JAK2', 'ENSG00000000001']]
    assert readouts(*names, table=table, genes='ensembl') == [[STAT1, JAK2, 'none'], [STAT1, JAK2, 'ENSG00000000001']]


def test_a_symbol_of_several_ids_tells_none_of_them(table):
    assert readouts(['TBCE'], [TBCE], table=table, genes='ensembl') == [['TBCE'], [TBCE]]
    assert readouts([f'TBCE ({TBCE})', f'TBCE ({TBCE2})', 'TBCE (e1)'], table=table, genes='ensembl') == [
        [TBCE, TBCE2, 'TBCE (e1)']
    ]


def test_an_older_symbol_of_the_same_id_is_the_same_gene(tmp_path):
    both = pd.DataFrame({'symbol': ['NEW', 'OLD'], 'ensembl': [STAT1, STAT1]})
    both.to_csv(tmp_path / 'both.csv', index=False)
    assert readouts(['OLD'], ['NEW'], table=str(tmp_path / 'both.csv')) == [['NEW'], ['NEW']]


def test_readouts_that_are_one_gene_are_averaged_and_counted(table, caplog):
    rows = [('a', 'control', (1, 10, 3)), ('a', 'g', (2, 20, np.nan)), ('a', 'g', (4, 22, 7)), ('a', 'g', (6, 30, 9))]
    before = average(measurements(rows, [TBCE, 'STAT1', TBCE2]))
    (after,) = harmonise([before], table=table)
    assert list(after.readout) == ['TBCE', 'STAT1']
    np.testing.assert_allclose(after.values, [[2, 10], [6, 24]])
    np.testing.assert_array_equal(after.values[:, 1], before.values[:, 1])
    np.testing.assert_allclose(after.standard_error[:, 0], before.standard_error[:, [0, 2]].mean(axis=1))
    np.testing.assert_allclose(after.halves[:, 1, 0], np.nanmean(before.halves[:, 1][:, [0, 2]], axis=1))
    assert np.isnan(after.halves[:, 0]).all()
    np.testing.assert_array_equal(after.cells, before.cells)
    assert after.values.dtype == np.float32
    assert (
        'screen: data.harmonise: 2 of 3 readouts and 0 of 1 perturbed genes get another name; 1 readouts are the '
        'same gene as another and are averaged with it.' in caplog.text
    )


def test_perturbed_genes_follow_and_compounds_do_not(table):
    names = ['control', f'CRISPRi_{STAT1}.3', f'CRISPRi_jak2+CRISPRi_{STAT1}', 'Compound_stat1-10uM', 'jak2']
    (after,) = harmonise([screen(['x'], names)], table=table)
    assert list(after.perturbation) == [
        *('control', 'CRISPRi_STAT1', 'CRISPRi_JAK2+CRISPRi_STAT1', 'Compound_stat1-10uM', 'JAK2')
    ]


def test_screens_of_different_names_meet(table):
    one, other = (
        screen(['STAT1'], ['control', 'CRISPRi_JAK2'], 'one'),
        screen([STAT1], ['control', f'CRISPRi_{JAK2}'], 'two'),
    )
    compendium = assemble(harmonise([one, other], table=table), ['log1p'] * 2)
    assert compendium.vocabulary.readouts == ('STAT1',)
    assert compendium.vocabulary.perturbations == ('control', 'CRISPRi_JAK2')


def test_two_perturbations_that_become_one_are_told(table):
    names = ['control', 'CRISPRi_STAT1', f'CRISPRi_{STAT1}']
    with pytest.raises(InputError, match=f"'CRISPRi_STAT1' and 'CRISPRi_{STAT1}' of 'a' both become 'CRISPRi_STAT1'"):
        harmonise([screen(['x'], names)], table=table)


def test_what_is_named_alike_already_stays_without_a_word(table, caplog):
    before = screen(['STAT1', 'y'])
    (after,) = harmonise([before], table=table)
    for name in ('values', 'readout', 'perturbation'):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert not caplog.records


def test_wrong_settings_are_told(tmp_path):
    with pytest.raises(InputError, match="data.harmonise.genes: no such choice 'symbols'; did you mean 'symbol'"):
        harmonise([screen(['x'])], genes='symbols')
    pd.DataFrame({'gene': ['A'], 'entrez': [3]}).to_csv(tmp_path / 'genes.csv', index=False)
    with pytest.raises(InputError, match="genes.csv: it needs a column of gene symbols and .*'gene', 'entrez'"):
        harmonise([screen(['x'])], table=str(tmp_path / 'genes.csv'))


def write_h5ad(path, var):
    anndata.AnnData(np.zeros((2, len(var)), np.float32), pd.DataFrame(index=['c0', 'c1']), var).write_h5ad(path)
    return str(path)


@pytest.mark.parametrize(
    'var',
    [
        pd.DataFrame({'ensembl': [f'{STAT1}.3', JAK2, '']}, index=['STAT1', 'JAK2', 'none']),
        pd.DataFrame({'n_cells': [1, 2, 3], 'gene_name': ['STAT1', 'JAK2', 'none']}, index=[STAT1, JAK2, 'spike']),
        pd.DataFrame({'id': [STAT1, JAK2, ''], 'symbol': ['STAT1', 'JAK2', 'none']}, index=['0', '1', '2']),
    ],
)
def test_screens_that_say_both_are_a_table_of_genes(tmp_path, var):
    path = write_h5ad(tmp_path / 'screen.h5ad', var)
    assert read_genes(path).to_numpy().tolist() == [['STAT1', STAT1], ['JAK2', JAK2]]
    assert readouts(['STAT1'], [f'{STAT1}.7'], files=[path, str(tmp_path / 'other.gct')]) == [['STAT1'], ['STAT1']]


def test_screens_that_say_one_tell_nothing(tmp_path):
    assert read_genes(write_h5ad(tmp_path / 'a.h5ad', pd.DataFrame(index=['A', 'B']))).empty
    assert read_genes(write_h5ad(tmp_path / 'b.h5ad', pd.DataFrame({'n': [1, 2]}, index=[STAT1, JAK2]))).empty


def test_tables_of_genes(tmp_path):
    info = pd.DataFrame({'gene_id': [1, 2], 'gene_symbol': ['STAT1', 'JAK2'], 'ensembl_id': [STAT1, JAK2]})
    info.to_csv(tmp_path / 'geneinfo.txt', sep='\t', index=False)
    assert read_gene_table(str(tmp_path / 'geneinfo.txt')).to_numpy().tolist() == [['STAT1', STAT1], ['JAK2', JAK2]]
    info[['ensembl_id', 'gene_symbol']].set_axis(['a', 'b'], axis=1).to_csv(tmp_path / 'two.csv', index=False)
    assert read_gene_table(str(tmp_path / 'two.csv'))['symbol'].tolist() == ['STAT1', 'JAK2']


def test_real_genes(shared):
    found = read_genes(str(shared / 'morphic_ko_log2fc.h5ad'))
    assert len(found) > 13_000
    assert found.set_index('symbol')['ensembl']['STAT1'] == 'ENSG00000115415'


def test_nothing_else_of_a_screen_changes():
    before = dataclasses.replace(screen(['x', 'y']), cells=np.array([3, 4], np.int32))
    (after,) = harmonise([before])
    assert (after.name, after.cells.tolist(), after.context.tolist()) == ('screen', [3, 4], ['a', 'a'])
