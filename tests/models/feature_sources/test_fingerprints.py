"""Structures of compounds as a source of features."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.feature_sources.fingerprints import structure_vectors
from perturbjax.models.feature_sources.vectors import read_vectors, vectors_of
from perturbjax.readers.structures import read_structures

COMPOUNDS = {'Aspirin': 'CC(=O)Oc1ccccc1C(=O)O', 'salicylic acid': 'OC(=O)c1ccccc1O', 'ethanol': 'CCO', 'odd': 'C(('}
TABLE = 'compound\tmechanism\tsmiles\n' + ''.join(f'{name}\t\t{smiles}\n' for name, smiles in COMPOUNDS.items())


@pytest.fixture
def chem():
    return pytest.importorskip('rdkit.Chem', reason="rdkit is not installed: pip install 'perturbjax[chem]'")


def written(folder, text, name='compounds.tsv'):
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    'text',
    [
        TABLE,
        'Canonical_SMILES\tDrug name\n' + ''.join(f'{smiles}\t{name}\n' for name, smiles in COMPOUNDS.items()),
        'key\tsmiles\n' + ''.join(2 * f'{name}\t{smiles}\n' for name, smiles in COMPOUNDS.items()) + 'none\t\n',
    ],
)
def test_names_and_structures_are_found_by_their_columns(tmp_path, text):
    assert read_structures(written(tmp_path, text)) == COMPOUNDS


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('compound\tformula\nx\tCO2\n', "has a column 'smiles' and one of names; there are 'compound', 'formula'"),
        ('smiles\nCCO\n', "and one of names; there are 'smiles'"),
        ('compound\tsmiles\nx\tC\nx\tCC\n', "compounds have two structures: 'x'; keep one of each"),
        ('compound\tsmiles\nx\t\n', "no line has both a name in 'compound' and a structure in 'smiles'"),
    ],
    ids=['no smiles', 'no names', 'twice', 'empty'],
)
def test_bad_tables_are_told(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        read_structures(written(tmp_path, text))


def test_without_rdkit_the_install_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rdkit', None)
    monkeypatch.setitem(sys.modules, 'rdkit.Chem', None)
    with pytest.raises(InputError, match=r"compounds.tsv: .*need rdkit; pip install 'perturbjax\[chem\]'"):
        make_models({'kernel': {'embedding': f'smiles:{written(tmp_path, TABLE)}'}})


def test_distances_are_those_of_the_fingerprints(chem):
    """In bits that differ; rdkit's own count of them is taken as the truth."""
    structures = ['CC(=O)Oc1ccccc1C(=O)O', 'OC(=O)c1ccccc1O', 'CCO', 'CCN']
    found = structure_vectors(list('abcd'), structures, 'x')
    make = pytest.importorskip('rdkit.Chem.AllChem').GetMorganFingerprintAsBitVect
    bits = np.array([list(make(chem.MolFromSmiles(each), 2, 2048)) for each in structures])
    expected = (bits[:, None] != bits[None]).sum(axis=2)
    squares = ((found[:, None] - found[None]) ** 2).sum(axis=2)
    assert_allclose(squares / squares.max(), expected / expected.max(), atol=1e-9)


@pytest.mark.usefixtures('chem')
def test_names_have_doses_and_capitals_and_an_unreadable_structure_is_told(tmp_path, caplog, capfd):
    source = f'smiles:{written(tmp_path, TABLE)}'
    names = ['control', 'Compound_aspirin-10uM', 'Compound_aspirin-3uM', 'Compound_Salicylic-acid', 'Compound_odd']
    found = vectors_of(read_vectors(source), names, source)
    assert_array_equal(np.isnan(found).all(axis=1), [True, False, False, False, True])
    assert_array_equal(found[1], found[2])
    assert np.abs(found[1] - found[3]).max() > 0.1
    assert "the structures of 1 compounds cannot be read, so they have no features: 'odd'" in caplog.text
    assert 'SMILES Parse Error' not in capfd.readouterr().err


@pytest.mark.usefixtures('chem')
@pytest.mark.parametrize(
    ('names', 'told'),
    [(['x'], 'none of its names'), (['odd'], 'it says nothing'), (['ethanol'], "alike \\('ethanol'\\)")],
)
def test_structures_that_say_nothing_are_told(tmp_path, names, told):
    source = f'smiles:{written(tmp_path, TABLE)}'
    with pytest.raises(InputError, match=told):
        vectors_of(read_vectors(source), names, source)
