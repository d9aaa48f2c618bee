import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.doubles import judge_doubles


@pytest.fixture
def predictions():
    """40 doubles x 60 readouts in two splits that share ten; 5% of the values interact, by a lot."""
    rng = np.random.default_rng(0)
    names = [f'g{i}+h{i}' for i in range(40)]
    tested = names[:25] + names[15:]
    additive = rng.normal(0, 1, (40, 60))
    effect = np.where(rng.random((40, 60)) < 0.05, 3 * np.sign(additive), 0)
    truth = additive + effect + rng.normal(0, 0.2, additive.shape)
    rows = [*range(25), *range(15, 40)]
    foresees = additive + 0.5 * effect + rng.normal(0, 0.1, additive.shape)
    obs = pd.DataFrame(
        {'split': [1] * 25 + [2] * 25, 'screen': 's', 'context': 'a', 'perturbation': tested},
        index=[f'p{i}' for i in range(50)],
    )
    layers = {'truth': truth, 'additive': additive, 'foresees': foresees, 'control': np.zeros((40, 60))}
    layers = {name: values[rows] for name, values in layers.items()}
    uns = {'models': ['additive', 'foresees'], 'scale': {'s': 'log-fold-change'}}
    return anndata.AnnData(obs=obs, layers=layers, uns=uns, shape=(50, 60)), int((effect != 0).sum())


def test_planted_interactions_are_called_classed_and_ranked(predictions):
    block, planted = predictions
    found = judge_doubles(block)
    (null,) = found.nulls.to_dict('records')
    assert null['values'] == 40 * 60
    assert null['sigma'] == pytest.approx(0.2, rel=0.15)
    assert abs(null['called'] - planted) <= 0.05 * planted
    assert null['synergistic'] >= 0.95 * null['called']
    assert len(found.calls) == null['called']
    assert (found.calls['fdr'] <= 0.05).all()
    ranking = found.ranking.set_index(['model', 'split'])
    assert (ranking.loc['foresees', 'auroc'] > 0.99).all()
    assert (ranking.loc['additive', 'auroc'] == 0.5).all()
    assert list(ranking['ranked']) == [25 * 60] * 4


def test_curves_are_of_the_ranking(predictions):
    block, _ = predictions
    found = judge_doubles(block)
    by = dict(iter(found.curves.groupby(['model', 'split'])))
    assert set(by) == {(model, split) for model in ('additive', 'foresees') for split in (1, 2)}
    calls = found.calls.set_index(['perturbation', 'readout']).index
    names = block.obs['perturbation']
    for (model, split), curve in by.items():
        chosen = (block.obs['split'] == split).to_numpy()
        score = np.abs(block.layers[model] - block.layers['additive'])[chosen].ravel()
        pairs = pd.MultiIndex.from_product([names[chosen], block.var_names])
        called = pairs.isin(calls)
        assert list(curve) == ['false_discovery_proportion', 'true_positive_rate', 'screen', 'model', 'split']
        assert len(curve) == (1 if model == 'additive' else 200)  # additive ranks nothing: one position for all
        first = called[score == score.max()]
        assert curve['false_discovery_proportion'].iloc[0] == pytest.approx(1 - first.mean())
        assert curve['false_discovery_proportion'].iloc[-1] == pytest.approx(1 - called.mean())
        assert curve['true_positive_rate'].iloc[-1] == 1
        assert curve['true_positive_rate'].is_monotonic_increasing
        # Any point is what a cut of the ranking finds.
        cut = np.sort(np.unique(score))[::-1][: len(np.unique(score))]
        found_by_cut = {(1 - called[score >= s].mean(), called[score >= s].sum() / called.sum()) for s in cut}
        for point in curve[['false_discovery_proportion', 'true_positive_rate']].to_numpy()[::20]:
            assert any(np.allclose(point, each) for each in found_by_cut)


def test_a_model_without_predictions_has_no_curve(predictions):
    block, _ = predictions
    block.layers['foresees'][:] = np.nan
    found = judge_doubles(block)
    assert set(found.curves['model']) == {'additive'}
    silent = found.ranking.set_index('model').loc['foresees']
    assert (silent['ranked'] == 0).all()
    assert silent[['auprc', 'auroc']].isna().all(axis=None)


def test_nothing_to_judge(predictions):
    block, _ = predictions
    singles = block.copy()
    singles.obs['perturbation'] = 'g'
    assert judge_doubles(singles) is None
    block.uns['models'] = ['foresees']
    assert judge_doubles(block) is None


def test_a_screen_without_a_null_is_told(predictions):
    found = judge_doubles(predictions[0][:2, :3].copy())
    assert found.calls.empty
    assert found.curves.empty
    assert found.notes[0].startswith('No interactions are called in s: ')
