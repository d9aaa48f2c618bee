import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.perturblib import our_perturbation, read_perturblib, their_perturbation
from perturbjax.screens.vocabulary import TYPES

FIELDS = Fields(context='context', control=('Control',))
NAMES = {
    'Control': 'control',
    'CRISPRi_STAT1': 'CRISPRi_STAT1',
    'CRISPR-KO_HLA_A': 'CRISPR-KO_HLA_A',
    'drug-10uM': 'Compound_drug-10uM',
    'BRD-K1-0.04uM': 'Compound_BRD-K1-0.04uM',
    '(%2B)-JQ1-1uM': 'Compound_(+)-JQ1-1uM',
    'TGFB1': 'TGFB1',
    'drug-high': 'drug-high',
    'Compound_DMSO2': 'Compound_DMSO2',
}


@pytest.mark.parametrize(('theirs', 'ours'), NAMES.items())
def test_names_there_and_back(theirs, ours):
    assert our_perturbation(theirs) == ours
    assert their_perturbation(ours) == theirs


@given(st.sampled_from(TYPES), st.text(st.characters(exclude_characters='+%'), min_size=1))
def test_a_name_with_its_type_comes_back(kind, name):
    ours = f'{kind}_{name}'
    assert our_perturbation(their_perturbation(ours)) == ours


def test_a_folder_without_shards(tmp_path):
    (tmp_path / 'info.json').write_text('{}')
    with pytest.raises(InputError, match='the folder has no table, which is'):
        read_perturblib(str(tmp_path), FIELDS)


def test_text_is_read_too_and_cells_are_rows(tmp_path):
    lines = [('k', name, f'Transcriptome_{gene}', n) for n in (1, 2) for name in ('Control', 'B+A') for gene in 'XY']
    table = pd.DataFrame(lines, columns=['context', 'perturbation', 'readout', 'value'])
    table.to_csv(tmp_path / 'cells.csv', index=False)
    rows = read_perturblib(str(tmp_path / 'cells.csv'), FIELDS)
    assert list(rows.perturbation) == ['control', 'A+B', 'control', 'A+B']
    assert (list(rows.readout), rows.values.tolist()) == (['X', 'Y'], [[1, 1], [1, 1], [2, 2], [2, 2]])
