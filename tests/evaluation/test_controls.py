import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.controls import PERMUTED, add_permuted_labels, collapse, pairwise_pearson, permuted_labels


def test_pairwise_correlations_equal_numpy_over_what_both_have():
    rng = np.random.default_rng(0)
    x = rng.normal(100, 1, (6, 30)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[5] = 7
    found = pairwise_pearson(x)
    for i in range(6):
        for j in range(6):
            both = ~np.isnan(x[i]) & ~np.isnan(x[j])
            expected = np.nan if 5 in (i, j) else np.corrcoef(x[i, both], x[j, both])[0, 1]
            np.testing.assert_allclose(found[i, j], expected, atol=1e-4)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(1)
    obs = pd.DataFrame(
        {'split': [0] * 8, 'screen': 's', 'context': ['a'] * 4 + ['b'] * 4}, index=[f'p{i}' for i in range(8)]
    )
    truth = rng.normal(size=(8, 200))
    layers = {
        'truth': truth,
        'control': np.zeros((8, 200)),
        'one_answer': np.repeat(rng.normal(size=(2, 200)), 4, axis=0),
        'no_change': np.zeros((8, 200)),
        'good': truth + rng.normal(0, 0.1, truth.shape),
        'silent': np.full((8, 200), np.nan),
    }
    models = ['one_answer', 'no_change', 'good', 'silent']
    return anndata.AnnData(obs=obs, layers=layers, uns={'models': models}, shape=(8, 200))


def test_one_answer_for_all_is_seen(predictions):
    found = collapse(predictions).set_index('model')
    assert found.loc['one_answer', 'correlation'] == pytest.approx(1, abs=1e-5)
    assert abs(found.loc['truth', 'correlation']) < 0.2
    assert found.loc['good', 'correlation'] == pytest.approx(found.loc['good', 'truth'], abs=0.05)
    assert found.loc['one_answer', 'truth'] == pytest.approx(found.loc['truth', 'correlation'])
    assert found.loc[['no_change', 'silent']].isna().all(axis=None)


@pytest.mark.parametrize('gap', [False, True])
def test_collapse_is_the_mean_over_all_pairs(predictions, gap):
    some = predictions.copy()
    some.layers['good'][1] = 3  # constant: no correlation
    some.layers['good'][6] = np.nan
    if gap:
        some.layers['good'][5, :3] = np.nan
    pairs = [(i, j) for rows in ((0, 2, 3), (4, 5, 7)) for i in rows for j in rows if i < j]
    good = some.layers['good']
    seen = [~np.isnan(good[i] + good[j]) for i, j in pairs]
    expected = np.mean([np.corrcoef(good[i, each], good[j, each])[0, 1] for (i, j), each in zip(pairs, seen)])
    assert collapse(some).set_index('model').loc['good', 'correlation'] == pytest.approx(expected)


@pytest.fixture
def labelled():
    """Two splits of two contexts and two screens, of 1, 2, 3, 5, ... perturbations; each truth is its own number."""
    sizes = {(split, screen, context): 0 for split in (1, 2) for screen in 'st' for context in 'ab'}
    rows = [(*group, f'p{i}') for group, size in zip(sizes, (1, 2, 3, 5, 1, 2, 4, 7)) for i in range(size)]
    obs = pd.DataFrame(rows, columns=['split', 'screen', 'context', 'perturbation'])
    obs = obs.sample(frac=1, random_state=0).set_axis([f'profile {i}' for i in range(len(obs))])
    truth = np.arange(len(obs), dtype=np.float32)[:, None] + np.array([0, 0.5, np.nan], np.float32)
    return anndata.AnnData(obs=obs, layers={'truth': truth}, uns={'models': ['mean']}, shape=truth.shape)


@pytest.mark.parametrize('seed', range(5))
def test_permuted_labels_are_the_truths_of_others(labelled, seed):
    permuted, truth = permuted_labels(labelled, seed), labelled.layers['truth']
    groups = labelled.obs.groupby(['split', 'screen', 'context']).indices
    assert sorted(map(len, groups.values())) == [1, 1, 2, 2, 3, 4, 5, 7]
    for rows in groups.values():
        if len(rows) == 1:
            assert np.isnan(permuted[rows]).all()
        else:
            assert (permuted[rows, 0] != truth[rows, 0]).all()
            assert sorted(permuted[rows, 0]) == sorted(truth[rows, 0])  # each once
            np.testing.assert_array_equal(permuted[rows, 1], permuted[rows, 0] + 0.5)  # whole profiles
    assert np.isnan(permuted[:, 2]).all()


def test_the_seed_decides_who_is_taken_for_whom(labelled):
    np.testing.assert_array_equal(permuted_labels(labelled, 1), permuted_labels(labelled, 1))
    assert (permuted_labels(labelled, 1) != permuted_labels(labelled, 2))[:, 0].any()


def test_permuted_labels_are_one_more_model(labelled):
    for _ in range(2):  # asked for twice, they are still one
        add_permuted_labels(labelled, 3)
        assert labelled.uns['models'] == ['mean', PERMUTED]
        np.testing.assert_array_equal(labelled.layers[PERMUTED], permuted_labels(labelled, 3))


def test_lonely_profiles_have_no_permuted_labels(labelled):
    lonely = labelled[labelled.obs['perturbation'] == 'p0'].copy()
    assert np.isnan(permuted_labels(lonely)).all()
    add_permuted_labels(lonely)
    assert lonely.uns['models'] == ['mean']
    assert PERMUTED not in lonely.layers
