import numpy as np
import pytest
from scipy.spatial import procrustes
from tables_for_tests import table

from perturbjax.analysis.alignment import align, turn
from perturbjax.errors import InputError

NAMES = [f'CRISPRi_G{i}' for i in range(40)]


def seeds(noise, width=5, draws=3, n=40):
    """The same vectors turned and shifted anew for every seed, and some noise."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, width))
    turns = [np.linalg.qr(rng.normal(size=(width, width)))[0] for _ in range(draws)]
    rows = [truth @ each + rng.normal(size=width) + noise * rng.normal(size=(n, width)) for each in turns]
    return rows, table(NAMES[:n], rows, seeds=('13', '14', '15')[:draws])


def test_turned_tables_are_the_same():
    rows, three = seeds(noise=0)
    found = align(three, permutations=20)
    np.testing.assert_allclose(found.agreement['value'], [1, 1], atol=1e-5)
    assert (found.agreement['p'] == 1 / 21).all()
    assert (found.agreement['null_high'] < 0.6).all()
    assert found.agreement[['seeds', 'names']].values.tolist() == [[3, 40]] * 2
    np.testing.assert_allclose(found.table.X, rows[0] - rows[0].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.table.layers['lpm/15'], found.table.X, atol=1e-4)
    assert list(found.table.obs['target'][:2]) == ['G0', 'G1']


def test_r2_is_one_minus_scipys_disparity():
    rows, two = seeds(noise=1, draws=2)
    r2 = align(two, permutations=2).agreement.set_index('measure').loc['r2', 'value']
    assert r2 == pytest.approx(1 - procrustes(*rows)[2], rel=1e-4)


def test_unrelated_tables_agree_no_more_than_permuted_ones():
    """As many columns as names: any two tables can be turned onto each other, and only the null says so."""
    rng = np.random.default_rng(1)
    two = table(NAMES[:20], rng.normal(size=(2, 20, 20)), seeds=('13', '14'))
    cosine = align(two, permutations=50).agreement.iloc[0]
    assert cosine['value'] > 0.7
    assert cosine['null_low'] < cosine['value'] < cosine['null_high']


def test_a_name_on_which_seeds_differ_shows():
    rows, _ = seeds(noise=0.05, draws=2)
    rows[1][3] *= -1
    names = align(table(NAMES, rows, seeds=('13', '14')), permutations=10).names
    assert names['cosine'].idxmin() == 3
    assert names['cosine'].drop(3).min() > 0.9
    assert list(names.columns) == ['name', 'type', 'target', 'cosine', 'null']


def test_names_that_one_seed_lacks_are_left_out_and_order_does_not_matter():
    _, two = seeds(noise=0, draws=2)
    shuffled = two[[*range(1, 40), *range(79, 39, -1)]]
    found = align(shuffled, permutations=3)
    assert found.agreement['names'].tolist() == [39, 39]
    np.testing.assert_allclose(found.agreement['value'], [1, 1], atol=1e-5)


def test_the_turn_is_orthogonal():
    rows, _ = seeds(noise=1, draws=2)
    np.testing.assert_allclose(turn(rows[0], rows[1]) @ turn(rows[0], rows[1]).T, rows[0] @ rows[0].T, rtol=1e-6)


def test_one_seed_or_too_few_names_are_told():
    _, two = seeds(noise=0, draws=2)
    with pytest.raises(InputError, match='lpm/13 is the only seed; to align, read several checkpoints'):
        align(two[:40])
    with pytest.raises(InputError, match='2 seeds share 2 trained names; aligning needs 3'):
        align(two[[0, 1, 40, 41]])
    with pytest.raises(InputError, match=r"embeddings: there is no column 'model'"):
        align(align(two, permutations=2).table)
