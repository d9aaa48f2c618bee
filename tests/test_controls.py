import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.controls import collapse, pairwise_pearson


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
