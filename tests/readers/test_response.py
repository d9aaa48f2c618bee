"""Tables of responses: drugs x lines and lines x genes, one readout."""

import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.loading import load

DRUGS = pd.DataFrame(
    {'drug': ['(+)-JQ1', 'B', 'B', 'C'], 'A549': [1.0, 0.5, 0.7, np.nan], 'HT29': [0.9, np.nan, 0.2, 0.4]}
)


def settings(folder, table=DRUGS, **more):
    table.to_csv(folder / 'auc.csv', index=False)
    fields = {'perturbation': 'drug', 'separator': '', 'perturbation_type': 'Compound'}
    known = {'source': 'wide', 'path': str(folder / 'auc.csv'), 'scale': 'as-measured', 'fields': fields}
    return {**known, 'readouts_are': 'contexts', 'control_value': 1, **more}


def values(compendium):
    """The value of each (context, perturbation), and how many rows it is of."""
    (screen,) = compendium.screens
    table = compendium.table()
    found = zip(table['context'], table['perturbation'], screen.values[:, 0].tolist(), screen.cells.tolist())
    return {(context, name): (pytest.approx(value), rows) for context, name, value, rows in found}


def test_columns_are_contexts_and_missing_entries_have_no_profile(tmp_path):
    compendium = load(settings(tmp_path, response='AUC'))
    assert compendium.vocabulary.readouts == ('AUC',)
    assert compendium.vocabulary.contexts == ('A549', 'HT29')
    assert values(compendium) == {
        ('A549', 'Compound_(+)-JQ1'): (1.0, 1),
        ('A549', 'Compound_B'): (0.6, 2),  # two rows are replicates
        ('HT29', 'Compound_(+)-JQ1'): (0.9, 1),
        ('HT29', 'Compound_B'): (0.2, 1),
        ('HT29', 'Compound_C'): (0.4, 1),
        ('A549', 'control'): (1.0, 1),
        ('HT29', 'control'): (1.0, 1),
    }
    (screen,) = compendium.screens
    np.testing.assert_allclose(np.sort(screen.halves[:, 1, 0]), [0.5, 0.7], rtol=1e-6)


def test_a_coded_missing_value_is_missing_too(tmp_path):
    found = values(load(settings(tmp_path, DRUGS.fillna(-9), missing_values=(-9,))))
    assert found == values(load(settings(tmp_path)))


def test_columns_are_perturbations(tmp_path):
    lines = pd.DataFrame({'line': ['a', 'b'], 'STAT1': [-1.0, -2.0], 'ctrl': [0.0, 0.1], 'A+B': [3.0, np.nan]})
    fields = {'context': 'line', 'control': ('ctrl',), 'perturbation_type': 'CRISPR-KO'}
    given = settings(tmp_path, lines, fields=fields, readouts_are='perturbations', scale='fitness')
    given.pop('control_value')
    assert values(load(given)) == {
        ('a', 'CRISPR-KO_STAT1'): (-1.0, 1),
        ('a', 'CRISPR-KO_A+CRISPR-KO_B'): (3.0, 1),
        ('a', 'control'): (0.0, 1),
        ('b', 'CRISPR-KO_STAT1'): (-2.0, 1),
        ('b', 'control'): (pytest.approx(0.1), 1),
    }


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({'readouts_are': 'context'}, "data.readouts_are: no such choice 'context'; did you mean 'contexts'"),
        (
            {'fields': {'context': 'drug', 'perturbation': 'drug'}},
            'data.fields.context: the readouts of the file are contexts',
        ),
        (
            {'readouts_are': 'perturbations', 'fields': {'context': 'drug', 'perturbation': 'drug'}},
            'data.fields.perturbation: the readouts of the file are perturbations',
        ),
    ],
)
def test_settings_that_cannot_be(tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        load(settings(tmp_path, **more))
