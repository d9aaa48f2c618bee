import dataclasses

import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.screens.shared_control import ANY, share_control


def test_control_goes_where_it_fits_and_none_is():
    rows = [
        (f'A_{ANY}', 'control', (1.0,)),
        ('A_1uM', 'x', (2.0,)),
        ('A_3uM', 'x', (3.0,)),
        ('A_9uM', 'control', (9.0,)),
        ('A_9uM', 'x', (4.0,)),
        ('B_1uM', 'control', (5.0,)),
    ]
    profiles = measurements(rows, ['r'])
    cells = np.arange(6, dtype=np.int32)
    halves = np.stack([profiles.values, profiles.values + 1])
    shared = share_control(
        dataclasses.replace(profiles, cells=cells, standard_error=profiles.values * 10, halves=halves)
    )
    found = zip(shared.context, shared.perturbation, shared.values[:, 0].tolist(), shared.cells.tolist())
    assert list(found) == [
        ('A_1uM', 'control', 1.0, 0),
        ('A_1uM', 'x', 2.0, 1),
        ('A_3uM', 'control', 1.0, 0),
        ('A_3uM', 'x', 3.0, 2),
        ('A_9uM', 'control', 9.0, 3),
        ('A_9uM', 'x', 4.0, 4),
        ('B_1uM', 'control', 5.0, 5),
    ]
    np.testing.assert_array_equal(shared.standard_error, shared.values * 10)
    np.testing.assert_array_equal(shared.halves[1], shared.values + 1)


WELLS = pd.DataFrame(
    {
        'cell': ['A', 'A', 'A', 'A', 'B', 'B'],
        'drug': ['DMSO', 'DMSO', 'x', 'x', 'DMSO', 'x'],
        'dose': [np.nan, np.nan, 1, 3, np.nan, 1],
        'r': [1.0, 2.0, 4.0, 6.0, 10.0, 20.0],
    }
)
FIELDS = {'context': '{cell}_{dose}uM', 'perturbation': 'drug', 'control': ('DMSO',)}


def read(folder, table, **fields):
    table.to_csv(folder / 'wells.csv', index=False)
    compendium = load(
        {'source': 'wide', 'path': str(folder / 'wells.csv'), 'scale': 'log2', 'fields': {**FIELDS, **fields}}
    )
    names = compendium.table()[['context', 'perturbation']].itertuples(index=False, name=None)
    return dict(zip(names, compendium.screens[0].values[:, 0].tolist()))


def test_vehicle_wells_without_a_dose_are_control_of_each_dose(tmp_path, caplog):
    assert read(tmp_path, WELLS) == {
        ('A_1uM', 'control'): 1.5, ('A_1uM', 'x'): 4.0, ('A_3uM', 'control'): 1.5, ('A_3uM', 'x'): 6.0,
        ('B_1uM', 'control'): 10.0, ('B_1uM', 'x'): 20.0,
    }  # fmt: skip
    assert "is taken as control of 3 contexts: 'A_1uM', 'A_3uM', 'B_1uM'" in caplog.text


@pytest.mark.parametrize('row', [2, 0])
def test_other_rows_need_a_value(tmp_path, row):
    """A drug without a dose, and control that says nothing of its context at all, are refused."""
    table = WELLS.copy()
    table.loc[row, 'dose' if row else 'cell'] = np.nan
    with pytest.raises(InputError, match='wells.csv: data.fields.context: 1 of 6 rows have no value in the column'):
        read(tmp_path, table)
