import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.readers.told import heard
from perturbjax.screens import store

FIELDS = {'context': 'cell', 'perturbation': 'drug', 'perturbation_type': 'Compound'}


@pytest.fixture
def folder(tmp_path):
    for cell in 'ab':
        rows = [(cell, 'control', 1.0, 2.0), (cell, 'd1', 3.0, np.nan), (cell, 'd1', 5.0, 6.0)]
        pd.DataFrame(rows, columns=['cell', 'drug', 'x', 'y']).to_csv(tmp_path / f'{cell}.csv', index=False)
    (tmp_path / '.hidden').write_text('not a table')
    return tmp_path


def settings(path, **more):
    return {'source': 'wide', 'path': str(path), 'scale': 'log2', 'fields': FIELDS, **more}


@pytest.mark.parametrize('pattern', ['', '*.csv'])
def test_each_file_of_a_folder_or_pattern_is_a_screen(folder, pattern):
    compendium = load(settings(folder / pattern))
    assert [screen.name for screen in compendium.screens] == ['a', 'b']
    assert compendium.vocabulary.perturbations == ('control', 'Compound_d1')
    np.testing.assert_allclose(compendium.screens[0].values, [[4, 6], [1, 2]])


def test_several_sources_share_one_vocabulary(folder):
    sources = {'one': settings(folder / 'a.csv'), 'two': settings(folder / 'b.csv')}
    compendium = load({'screens': sources})
    assert [screen.name for screen in compendium.screens] == ['a', 'b']
    assert compendium.vocabulary.contexts == ('a', 'b')


def test_simulated_screens():
    small = {'contexts': 2, 'targets': 6, 'compounds': 2, 'doubles': 2, 'readouts': 12, 'programs': 2, 'cells': 4}
    compendium = load({'source': 'simulation', **small})
    assert {screen.scale for screen in compendium.screens} == {'log1p'}
    assert len(compendium.vocabulary.contexts) == 2


def test_a_prepared_compendium_is_a_source(folder):
    compendium = load(settings(folder / 'a.csv'))
    store.write(compendium, folder / 'prepared')
    again = load({'source': 'prepared', 'path': str(folder / 'prepared')})
    assert again.fingerprint() == compendium.fingerprint()
    with pytest.raises(InputError, match=r"data \(prepared\): no such setting 'scale'"):
        load({'source': 'prepared', 'path': str(folder / 'prepared'), 'scale': 'log2'})
    with pytest.raises(InputError, match=r'data.screens: a prepared compendium cannot be one of several'):
        load({'screens': {'a': {'source': 'prepared', 'path': str(folder / 'prepared')}}})


def test_genes_are_named_alike_where_it_is_asked_for(folder):
    pd.DataFrame({'id': ['ENSG00000000001'], 'symbol': ['x']}).to_csv(folder / 'genes.tsv', sep='\t', index=False)
    source = settings(folder / 'a.csv') | {'fields': FIELDS | {'readout_where': {'index': ['x', 'y']}}}
    harmonised = load(source | {'harmonise': {'genes': 'ensembl', 'table': str(folder / 'genes.tsv')}})
    assert load(source | {'harmonise': {}}).vocabulary.readouts == ('x', 'y')
    assert harmonised.vocabulary.readouts == ('ENSG00000000001', 'y')
    both = load({'screens': {'a': source}, 'harmonise': {'table': str(folder / 'genes.tsv')}})
    assert both.vocabulary.readouts == ('x', 'y')
    with pytest.raises(InputError, match="data.harmonise: no such setting 'gene'; did you mean 'genes'"):
        load(source | {'harmonise': {'gene': 'symbol'}})


def test_old_names_of_settings_are_read_with_a_warning(folder, caplog):
    old = {'context': 'cell', 'perturbation': 'drug', 'kind': 'Compound'}
    source = settings(folder / 'a.csv')
    for data in (
        source | {'fields': old, 'missing': [3]},
        {'screens': {'a': source | {'fields': old, 'missing': [3]}}},
    ):
        caplog.clear()
        found = load(data)
        assert found.fingerprint() == load(source | {'missing_values': [3]}).fingerprint()
        assert found.vocabulary.perturbations == ('control', 'Compound_d1')
        assert "fields.kind is called 'perturbation_type' now" in caplog.text
        assert "missing is called 'missing_values' now" in caplog.text
    with pytest.raises(InputError, match="data.missing: it is called 'missing_values' now, and both are given"):
        load(source | {'missing': [3], 'missing_values': [3]})


@pytest.mark.parametrize('data', [3, {'screens': {}}, {'screens': {'a': 3}}])
def test_data_that_are_no_settings_are_told(data):
    with pytest.raises(InputError, match='^data.*: expected a mapping of'):
        load(data)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'source': 'h5add'}, "data.source: no such choice 'h5add'; did you mean 'h5ad'"),
        ({'path': ''}, 'data.path: no file is named'),
        ({'path': '/nowhere/x.csv'}, 'x.csv: no such file'),
        ({'scale': 'log3'}, "no such scale 'log3'"),
        ({'preset': 'geers', 'source': 'h5ad'}, "did you mean 'gears'"),
        ({'cuonts': True}, "no such setting 'cuonts'; did you mean 'counts'"),
        ({'fields': {**FIELDS, 'contxt': 'cell'}}, "data.fields: no such setting 'contxt'; did you mean 'context'"),
        ({'fields': {**FIELDS, 'perturbation_type': 'Compuond'}}, "did you mean 'Compound'"),
        ({'fields': {**FIELDS, 'context': 'cel'}}, "'cel'"),
        ({'counts': True}, 'values are no counts'),
        ({'siginfo': 'x'}, "no such setting 'siginfo'"),
    ],
)
def test_bad_settings_are_told(folder, change, message):
    with pytest.raises(InputError, match=message):
        load(settings(folder) | change)


def test_a_needed_setting_is_told(folder):
    without = settings(folder)
    del without['scale']
    with pytest.raises(InputError, match="the setting 'scale' is needed"):
        load(without)


def test_what_was_told_is_told_again_by_runs_that_start_from_the_store(folder, tmp_path, caplog):
    table = pd.read_csv(folder / 'a.csv').assign(drug=['control', 'Ctrl', 'd1'])
    table.to_csv(folder / 'a.csv', index=False)
    with heard() as told:
        compendium = load(settings(folder / 'a.csv'))
    assert len(told) == 1
    assert "look like control, alone or as a part: 'Compound_Ctrl'" in told[0]
    store.write(compendium, tmp_path / 'prepared', {}, told)
    caplog.clear()
    load({'source': 'prepared', 'path': str(tmp_path / 'prepared')})
    assert told[0] in caplog.text
    load(settings(folder / 'b.csv'))
    assert len(told) == 1  # it hears no longer
