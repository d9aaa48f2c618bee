import numpy as np
import pytest
from tables_for_tests import random_table, table

from perturbjax.analysis.vectors import (
    by_source,
    centred,
    compounds,
    genes,
    neighbours,
    principal_components,
)
from perturbjax.errors import InputError


def test_rows_are_centred_and_what_is_missing_is_the_mean():
    there = table(['a', 'b', 'c'], [[1, 5], [3, np.nan], [5, 7]])
    np.testing.assert_allclose(centred(there), [[-2, -1], [0, 0], [2, 1]])


def test_several_seeds_are_no_one_table():
    two = table(['a', 'b'], [np.eye(2)] * 2, seeds=('13', '14'))
    with pytest.raises(InputError, match=r"'a' has several rows; choose one seed, or align them first"):
        genes(two)


def test_a_gene_has_one_vector_whatever_was_done_to_it():
    names = ['control', 'CRISPRi_A', 'CRISPR-KO_A', 'CRISPRi_B', 'Compound_x-1uM']
    found = genes(table(names, [[0, 0], [4, 0], [0, 4], [-2, -2], [-2, -2]]))
    assert list(found.names) == ['A', 'B']
    np.testing.assert_allclose(found.values, np.array([[1, 1], [-1, -1]]) / np.sqrt(2))
    kept = genes(table(names, [[0, 0], [4, 0], [0, 4], [-2, -2], [-2, -2]]), scale=lambda rows: rows)
    np.testing.assert_allclose(kept.values, [[2, 2], [-2, -2]])


def test_a_readout_is_a_gene():
    assert list(genes(random_table(['STAT1', 'JAK2'], axis='readout')).names) == ['JAK2', 'STAT1']


def test_a_compound_has_one_vector_whatever_its_dose():
    names = ['Compound_x-1uM', 'Compound_x-10uM', 'Compound_y-2', 'Compound_z-0.5 nM', 'CRISPRi_x']
    found = compounds(random_table(names), {'x', 'Compound_y-2', 'z-0.5 nM'})
    assert list(found.names) == ['Compound_y-2', 'x', 'z-0.5 nM']
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1)


def test_unknown_compounds_are_told(caplog):
    names = ['Compound_Vorinostat-1uM', 'Compound_x-1uM']
    assert list(compounds(random_table(names), {'vorinostat', 'x'}).names) == ['x']
    assert "1 compounds have no annotation: 'Vorinostat'; did you mean 'vorinostat'?" in caplog.text
    with pytest.raises(InputError, match=r"1 compounds have no annotation: 'Vorinostat'; did you mean 'vorinostat'"):
        compounds(random_table(names[:1]), {'vorinostat'})
    with pytest.raises(InputError, match=r"no perturbation is a compound; there are 'CRISPRi'"):
        compounds(random_table(['CRISPRi_A']), {'x'})


def test_sources_are_compared_on_the_names_they_share():
    found = by_source({'one': random_table(['a', 'b', 'c']), 'other': random_table(['d', 'c', 'b'], 3)}, genes, 'genes')
    assert {label: list(each.names) for label, each in found.items()} == {'one': ['b', 'c'], 'other': ['b', 'c']}
    assert found['other'].values.shape == (2, 3)
    with pytest.raises(InputError, match=r"'one', 'other' have no genes in common; nothing can be compared"):
        by_source({'one': random_table(['a']), 'other': random_table(['d'])}, genes, 'genes')


def test_neighbours_by_hand():
    angles = np.deg2rad([0, 10, 80, 180, 190, 260])  # with their opposites, so that they are centred
    there = table(list('abcdef'), np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = neighbours(there, ['a', 'e'], count=2)
    assert found['name'].tolist() == ['a', 'a', 'e', 'e']
    assert found['neighbour'].tolist() == ['b', 'c', 'd', 'f']
    assert found['rank'].tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(found['cosine'], np.cos(np.deg2rad([10, 80, 10, 70])), rtol=1e-6)
    assert len(neighbours(there, count=99)) == 6 * 5
    with pytest.raises(InputError, match=r"there is no 'CRISPRI_STAT1'; did you mean 'CRISPRi_STAT1'"):
        neighbours(random_table(['CRISPRi_STAT1']), ['CRISPRI_STAT1'])


def test_principal_components_hold_the_distances():
    there = random_table(list('abcdefgh'), 5)
    scores, share = principal_components(there)
    rows = centred(there)
    np.testing.assert_allclose(scores.to_numpy() @ scores.to_numpy().T, rows @ rows.T, atol=1e-9)
    assert share.sum() == pytest.approx(1)
    assert (np.diff(share) <= 0).all()
    first, _ = principal_components(there, 2)
    np.testing.assert_allclose(first, scores[['PC1', 'PC2']])
    assert list(first.index) == list('abcdefgh')
