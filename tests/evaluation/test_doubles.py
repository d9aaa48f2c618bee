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


def test_a_perturbation_with_itself_is_no_combination(predictions):
    block, _ = predictions
    alone = block.copy()
    alone.obs['perturbation'] = 'g+g'
    assert judge_doubles(alone) is None
    mixed = block.copy()
    mixed.obs['perturbation'] = ['g+g', *block.obs['perturbation'][1:]]
    # The call of the first double of one split is lost; the second split does not test it.
    assert judge_doubles(mixed).nulls['values'].item() == 39 * 60


def with_replicates(block, wells):
    """The truth as the mean of four wells `[4, N, M]`, with what is known of them."""
    known = block.copy()
    known.layers['truth'] = wells.mean(axis=0)
    known.layers['first_half'], known.layers['second_half'] = wells[:2].mean(axis=0), wells[2:].mean(axis=0)
    known.layers['variance'] = wells.var(axis=0, ddof=1)
    known.obs['cells'] = 4
    return known


def test_calls_say_what_the_replicates_say(predictions):
    block, _ = predictions
    wells = block.layers['truth'] + np.random.default_rng(0).normal(0, 0.1, (4, *block.shape))
    wells[:, 3, 7] = block.layers['additive'][3, 7] + np.array([0.4, 1.7, 1.0, -30.9])  # one bad well
    found = judge_doubles(with_replicates(block, wells))
    calls = found.calls.reset_index(drop=True)
    bad = calls.iloc[0]
    assert (bad['perturbation'], bad['readout']) == ('g3+h3', '7')
    assert bad['interaction'] == pytest.approx(-27.8 / 4)
    assert bad['standard_error'] == pytest.approx(np.std([0.4, 1.7, 1.0, -30.9], ddof=1) / 2)
    assert (bad['first_half'], bad['second_half']) == (pytest.approx(1.05), pytest.approx(-14.95))
    assert bad['replicates_agree'] == 'no'
    assert (calls['replicates_agree'][1:] == 'yes').mean() > 0.95
    assert 'The strongest is g3+h3 in 7 (a): 1.05 in one half, -1' in found.notes[0]
    assert found.notes[0].startswith(f'{(calls["replicates_agree"] == "no").sum()} of the {len(calls)} called ')


def test_without_replicates_nothing_is_said_of_them(predictions):
    found = judge_doubles(predictions[0])
    assert found.notes == []
    assert (found.calls['replicates_agree'] == '').all()
    assert found.calls[['standard_error', 'first_half', 'second_half']].isna().all(axis=None)
