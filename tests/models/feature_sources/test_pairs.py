"""Pairs of genes as a source of features."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from perturbjax.errors import InputError
from perturbjax.models.feature_sources import pairs as module
from perturbjax.models.feature_sources.pairs import pair_vectors
from perturbjax.models.feature_sources.vectors import read_vectors, vectors_of
from perturbjax.readers.gene_pairs import read_gene_pairs


def written(folder, text, name='pairs.csv'):
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    'text',
    [
        'entity1,entity2\nB,A\nA,B\nC,C\nC,B\n',
        'gene_a,gene_b,other\nA,B,x\nB,C,y\n',
        'gene_a,gene_b,weight\nA,B,1\nC,B,1\nB,A,0.5\n',
        'source,target,importance\nA,B,1\nB,C,1\n',
    ],
)
def test_pairs_have_no_order_and_stand_once(tmp_path, text):
    found = read_gene_pairs(written(tmp_path, text))
    assert found.to_numpy().tolist() == [['A', 'B', 1.0], ['B', 'C', 1.0]]


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('gene\nA\n', "the first two columns of a table of pairs are the genes; there are 'gene'"),
        ('a,b\nA,B\nC,\n', 'line 3 lacks one of its two genes'),
        ('a,b\nA,A\n', 'no pair of two genes'),
        ('a,b,weight\nA,B,1\nA,C,nan\n', "line 3: the weight 'nan' is no number above 0"),
        ('a,b,weight\nA,B,-1\n', "the weight '-1' is no number above 0"),
        ('', 'cannot be read'),
    ],
    ids=['one column', 'empty name', 'itself', 'not a number', 'negative', 'empty'],
)
def test_bad_pairs_are_told(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        read_vectors(f'pairs:{written(tmp_path, text)}')


def cliques(*members):
    """All pairs within each group."""
    found = [pair for each in members for pair in itertools.combinations(each, 2)]
    return pd.DataFrame(found, columns=['first', 'second']).assign(weight=1.0)


def test_groups_that_hardly_meet_point_in_other_directions():
    pairs = cliques('abcde', 'fghij')
    pairs.loc[len(pairs)] = ['e', 'f', 1.0]
    names, vectors = pair_vectors(pairs)
    assert names == list('abcdefghij')
    assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    assert_array_equal(np.sign(vectors[:, 0]), np.repeat(np.sign(vectors[[0, 5], 0]), 5))
    assert vectors[0, 0] * vectors[9, 0] < 0


def test_the_axes_solve_the_eigenproblem_by_hand():
    """Two genes and one pair: degrees 1 and tau 1, so A + tau / 2 over 2 has (1, 1) at 1 and (1, -1) at -1 / 2."""
    _, vectors = pair_vectors(cliques('ab'))
    assert vectors.shape == (2, 0)
    # a - b - c: D + tau is 1 + 4/3, 2 + 4/3, 1 + 4/3; (1, 0, -1) has the eigenvalue 0, so nothing is above it.
    assert pair_vectors(pd.DataFrame({'first': ['a', 'b'], 'second': ['b', 'c'], 'weight': 1.0}))[1].shape == (3, 0)
    # Two pairs apart: all degrees and tau are 1; (1, 1, -1, -1) has 1 / 2.
    assert_allclose(pair_vectors(cliques('ab', 'cd'))[1], [[1], [1], [-1], [-1]], atol=1e-12)


def test_large_graphs_give_what_small_ones_do(monkeypatch):
    """Groups of different sizes, so that no two eigenvalues are equal."""
    names = [f'g{i:02}' for i in range(60)]
    rng = np.random.default_rng(0)
    pairs = cliques(names[:20], names[20:33], names[33:40], names[40:])
    pairs['weight'] = rng.uniform(0.5, 1, len(pairs))
    whole = pair_vectors(pairs)[1]
    monkeypatch.setattr(module, '_SMALL', 10)
    first, second = pair_vectors(pairs)[1], pair_vectors(pairs)[1]
    assert_array_equal(first, second)
    assert_allclose(first[:, :3], whole[:, :3], atol=1e-6)


@pytest.mark.parametrize(('weights', 'side'), [((1.0, 0.1), 'b'), ((0.1, 1.0), 'e')])
def test_a_gene_between_two_groups_is_with_the_one_it_is_joined_to_more_strongly(weights, side):
    pairs = cliques('abc', 'def')
    pairs.loc[len(pairs)] = ['a', 'x', weights[0]]
    pairs.loc[len(pairs)] = ['d', 'x', weights[1]]
    names, vectors = pair_vectors(pairs)
    assert vectors[names.index('x'), 0] * vectors[names.index(side), 0] > 0


def test_other_names_and_pairs_that_separate_nothing_are_told(tmp_path):
    source = 'pairs:' + written(tmp_path, 'a,b\nA,B\nC,D\n')
    with pytest.raises(InputError, match=r"none of its names \('A', 'B', 'C', 'D'\) is one of the screen \('x'\)"):
        vectors_of(read_vectors(source), ['x'], source)
    found = vectors_of(read_vectors(source), ['CRISPRi_C', 'x', 'a'], source)
    assert_allclose(found[[0, 2]], [[-1], [1]])
    assert np.isnan(found[1]).all()
    source = 'pairs:' + written(tmp_path, 'a,b\nA,B\n', 'few.csv')
    with pytest.raises(InputError, match='it says nothing'):
        vectors_of(read_vectors(source), ['A', 'B'], source)


def test_genes_of_a_pair_are_alike_in_real_tables(shared):
    for name in ('reactome', 'humap'):
        pairs = read_gene_pairs(str(shared / 'annotations' / f'{name}_pairs.csv'))
        names, vectors = pair_vectors(pairs)
        assert vectors.shape == (len(names), 32)
        index = pd.Index(names)
        first, second = (vectors[index.get_indexer(pairs[each])] for each in ('first', 'second'))
        others = np.random.default_rng(0).permutation(second)
        assert (first * second).sum(axis=1).mean() > 0.8
        assert abs((first * others).sum(axis=1).mean()) < 0.1
