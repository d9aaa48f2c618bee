"""Networks: edges from changes, and CausalBench's scores by hand and by brute force."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, wasserstein_distance
from screens_for_tests import measurements

from perturbjax.analysis.networks import Rows, compare_networks, judge, network, rows_of
from perturbjax.errors import InputError
from perturbjax.screens.aggregation import average

NAN = np.nan


def test_the_strongest_changes_are_the_edges():
    names = ['CRISPRi_A', 'CRISPR-KO_A', 'B', 'Compound_c-10uM', 'CRISPRi_A+CRISPRi_B', 'control']
    changes = pd.DataFrame([[9, -2, 1], [9, 3, NAN], [0, 9, -4], [7, 7, 7], [8, 8, 8], [5, 5, 5]], names, list('ABC'))
    expected = pd.DataFrame({'gene': list('BAA'), 'readout': list('CBC'), 'change': [-4.0, 3, 1]})
    pd.testing.assert_frame_equal(network(changes, 3), expected, check_dtype=False)
    assert len(network(changes, 99)) == 4
    assert network(changes.iloc[3:], 5).empty


def cells(perturbed, seed=0, genes=('CRISPRi_A', 'CRISPRi_B', 'CRISPR-KO_B'), contexts=('k', 'other')):
    """Rows in two contexts; each gene shifts every readout by its own amount in the first context alone."""
    rng = np.random.default_rng(seed)
    rows = [(contexts[0], 'control', rng.normal(size=3)) for _ in range(30)]
    rows += [(contexts[0], gene, rng.normal(size=3) + shift) for gene, shift in zip(genes, perturbed) for _ in range(8)]
    rows += [(contexts[1], gene, rng.normal(size=3) + 50) for gene in ('control', *genes) for _ in range(5)]
    return measurements(rows, ['A', 'B', 'C'], dtype=np.float64)


def test_rows_are_gathered_by_gene():
    rows = rows_of(cells([0, 1, 2]), 'k')
    assert rows.control.shape == (30, 3)
    assert {gene: len(block) for gene, block in rows.perturbed.items()} == {'A': 8, 'B': 16}
    assert rows.readouts == ('A', 'B', 'C')


def test_averages_cannot_be_tested():
    profiles = average(cells([0, 1, 2], genes=('CRISPRi_A',)))
    with pytest.raises(InputError, match=r"in 'k' control has 1 and no gene has more than 1 .* give single cells"):
        rows_of(profiles, 'k')
    with pytest.raises(InputError, match=r"in 'K' control has 0 and no gene has more than 0 \(contexts are 'k', 'ot"):
        rows_of(cells([0, 1, 2]), 'K')


@given(seed=st.integers(0, 99), shift=st.floats(-3, 3), missing=st.floats(0, 0.6), sparse=st.booleans())
@settings(max_examples=15, deadline=None)
def test_pairs_are_judged_as_by_brute_force(seed, shift, missing, sparse):
    rng = np.random.default_rng(seed)
    data = cells([shift, 0, 0], seed)
    values = np.round(data.values * (rng.random(data.values.shape) > missing), 1)  # ties, and zeros
    if not sparse:
        values[values == 0] = NAN
    rows = rows_of(dataclasses.replace(data, values=scipy.sparse.csr_matrix(values) if sparse else values), 'k')
    pairs = pd.DataFrame([('B', 'A'), ('A', 'B'), ('A', 'C'), ('Z', 'A'), ('A', 'Z')], columns=['gene', 'readout'])
    judged = judge(pairs, rows)
    assert list(judged['gene'] + judged['readout']) == ['BA', 'AB', 'AC']
    genes = np.array([name.partition('_')[2] for name in data.perturbation])
    for row in judged.itertuples():
        column = values[:, 'ABC'.index(row.readout)]
        here = (data.context == 'k') & ~np.isnan(column)
        one, other = column[here & (data.perturbation == 'control')], column[here & (genes == row.gene)]
        np.testing.assert_allclose(row.distance, wasserstein_distance(one, other))
        assert row.true == (mannwhitneyu(one, other).pvalue < 0.05)


def test_readouts_that_were_hardly_measured_are_not_tested():
    control, perturbed = np.zeros((5, 2)), np.array([[0, 1], [NAN, 1], [NAN, 2]])
    pairs = pd.DataFrame({'gene': 'A', 'readout': ['x', 'y']})
    assert list(judge(pairs, Rows(control, {'A': perturbed}, ('x', 'y')))['readout']) == ['y']
    assert judge(pairs.head(1), Rows(control, {'A': perturbed}, ('x', 'y'))).empty


def test_the_scores_by_hand():
    """A moves B by 100 and C not; B moves nothing: one true edge among the four possible."""
    control, same = np.arange(20.0)[:, None] + np.zeros(3), np.arange(20.0)[:, None] + np.zeros(3)
    rows = Rows(control, {'A': same + np.array([0, 100, 0]), 'B': same}, ('A', 'B', 'C'))
    right = pd.DataFrame([[0, 9.0, 1], [1, 0, 2]], ['A', 'B'], list('ABC'))
    wrong = pd.DataFrame([[0, 1.0, 8], [1, 0, 9]], ['A', 'B'], list('ABC'))
    table = compare_networks({'right': right, 'wrong': wrong}, rows, top=2).set_index(['network', 'metric'])
    assert list(table.index[:3]) == [('right', name) for name in ('wasserstein', 'precision', 'false_omission_rate')]
    assert list(table.loc['right']['value']) == [50, 0.5, 0]
    assert list(table.loc['wrong']['value']) == [0, 0, 0.5]
    assert set(table['number']) == {2}
    assert (table.loc['right']['genes'] <= 2).all()
    assert 'random' in table.index.get_level_values(0)


def test_what_the_rows_cannot_test_is_no_edge():
    rows = rows_of(cells([3, 0, 0]), 'k')
    changes = pd.DataFrame(5.0, ['CRISPRi_A', 'CRISPRi_Z'], ['A', 'B', 'elsewhere'])
    table = compare_networks({'model': changes}, rows).set_index(['network', 'metric'])['number']
    assert dict(table.loc['model']) == {'wasserstein': 1, 'precision': 1, 'false_omission_rate': 3}
    assert dict(table.loc['random']) == {'wasserstein': 4, 'precision': 4, 'false_omission_rate': 0}


def test_the_seed_decides():
    rows, changes = rows_of(cells([3, 0, 0]), 'k'), {'model': pd.DataFrame(5.0, ['A'], ['B'])}
    one, again = (compare_networks(changes, rows, top=1, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
