"""Published scores beside a run's, from predictions made by hand and loops over the published table."""

import anndata
import ml_collections
import numpy as np
import pandas as pd
import pytest

from perturbjax.config import parse
from perturbjax.datasets.published import published_scores
from perturbjax.errors import InputError
from perturbjax.evaluation.published import beside_published

NAN = np.nan
# Doubles that were scored, and one that is none.
NAMES = ['AHR+FEV', 'AHR+KLF1', 'BPGM+SAMD1', 'NOT+THERE']
TYPED = ['+'.join(f'CRISPRa_{gene}' for gene in name.split('+')) for name in NAMES]


def predictions_of(rows, models, readouts, scale='log1p', contexts=None, names=TYPED):
    """Rows are (split, perturbation, truth); control is 9, 8, 7, ... and models are what is added to it."""
    control = np.tile(10.0 - np.arange(1, readouts + 1) / 100, (len(rows), 1))
    layers = {'truth': control + [change for _, _, change in rows], 'control': control}
    layers |= {name: control + np.array(change) for name, change in models.items()}
    layers.setdefault('perturbed_mean', control + 1)
    obs = {'split': [split for split, _, _ in rows], 'perturbation': [names[i] for _, i, _ in rows]}
    obs |= {'screen': 's', 'context': contexts or 'K562'}
    uns = {'models': [name for name in models if name != 'perturbed_mean'], 'scale': {'s': scale}}
    index = [str(i) for i in range(len(rows))]
    return anndata.AnnData(obs=pd.DataFrame(obs, index=index), layers=layers, uns=uns)


@pytest.fixture(scope='module')
def beside():
    """The first pair is held out by two splits, of which `half` predicts the first; it has a gap in the third pair."""
    rows = [(1, 0, [3.0, 4, 0]), (2, 0, [6.0, 8, 0]), (1, 1, [0.0, 2, 0]), (1, 2, [1.0, 2, 2]), (2, 3, [9.0, 9, 0])]
    half = [[3.0, 0, 0], [NAN, NAN, NAN], [0, 1, 0], [NAN, 2, 2], [0, 0, 0]]
    models = {'no_change': np.zeros((5, 3)), 'half': half, 'permuted_labels': np.ones((5, 3))}
    return beside_published(predictions_of(rows, models, 3), 'norman', bootstrap_samples=200)


def ours(beside, model):
    table = beside.table
    return table[(table['source'] == 'this run') & (table['model'] == model)].iloc[0]


def test_a_perturbation_counts_once_and_a_gap_does_not_count(beside):
    # L2 of no change: 5 and 10 of the first, 2 and 3; half has 4 beside the 5, and 1.
    assert ours(beside, 'no_change')['l2'] == pytest.approx((7.5 + 2 + 3) / 3, rel=1e-5)
    half = ours(beside, 'half')
    assert half['perturbations'] == 2
    assert half['l2'] == pytest.approx((4 + 1) / 2, rel=1e-5)
    assert half['ratio'] == pytest.approx((4 + 1) / (5 + 2), rel=1e-5)  # over the same profiles
    correlations = [np.corrcoef([3, 4, 0], [3, 0, 0])[0, 1], 1]
    assert half['pearson_delta'] == pytest.approx(np.mean(correlations), abs=1e-4)
    assert np.isnan(ours(beside, 'no_change')['pearson_delta'])
    assert half['l2_low'] == pytest.approx(1, rel=1e-5)
    assert half['l2_high'] == pytest.approx(4, rel=1e-5)
    assert set(beside.table['model'][beside.table['source'] == 'this run']) == {'no_change', 'half'}


def test_published_rows_are_means_over_seeds_and_the_same_perturbations(beside):
    scores, values = published_scores('norman'), {}
    for row in scores.itertuples():
        if row.perturbation in NAMES:
            values.setdefault((row.method, row.perturbation), []).append((row.l2, row.pearson_delta))
    methods = {method for method, _ in values}
    found = beside.table[beside.table['source'] == 'published'].set_index('model')
    assert set(found.index) == methods
    assert list(found['l2']) == sorted(found['l2'])
    rule = [np.mean(values['no_change', name], axis=0)[0] for name in NAMES[:3]]
    for method in methods:
        l2, correlation = np.mean([np.mean(values[method, name], axis=0) for name in NAMES[:3]], axis=0)
        assert found['perturbations'][method] == 3
        assert found['l2'][method] == pytest.approx(l2)
        assert found['ratio'][method] == pytest.approx(l2 / np.mean(rule))
        assert found['pearson_delta'][method] == pytest.approx(correlation, nan_ok=True)
        assert found['l2_low'][method] <= l2 <= found['l2_high'][method]


def test_notes_say_what_is_compared(beside):
    said = ' '.join(beside.notes)
    assert 'the 3 perturbations that are held out here and scored there' in said
    assert 'here they are over all 3 readouts, as there are no more' in said
    assert 'also chose the epoch of GEARS, scGPT and scFoundation; CPA stopped early on the test' in said
    scores = published_scores('norman').query('perturbation in @NAMES and method == "gears"')
    assert f'{(scores["split"] == "val").mean():.0%} are of validation perturbations' in said


def test_only_the_thousand_highest_in_control_count():
    """Readout i has control 10 - i / 100, so the last two of 1,002 do not count, whatever they are."""
    change = np.zeros((1, 1002))
    change[0, :2], change[0, -2:] = (3, 4), 100
    model = np.full((1, 1002), NAN)
    model[0, :1000] = 0
    models = {'model': model, 'no_change': np.zeros((1, 1002))}
    found = beside_published(predictions_of([(1, 0, change[0])], models, 1002), 'norman', bootstrap_samples=10)
    assert ours(found, 'model')['l2'] == pytest.approx(5, rel=1e-4)
    assert 'here they are over the 1,000 highest in control of 1,002 readouts' in found.notes[1]


def test_the_rule_of_singles_is_the_mean_of_the_context():
    """A run over several contexts has another `mean`; the layer `perturbed_mean` is the one that was published."""
    rows = [(1, 0, [3.0, 4, 0])]
    models = {'perturbed_mean': [[3.0, 0, 0]], 'mean': [[9.0, 9, 9]], 'no_change': [[0.0, 0, 0]]}
    predictions = predictions_of(rows, models, 3, names=['CRISPRi_CREB1'])
    found = beside_published(predictions, 'adamson', bootstrap_samples=10)
    assert ours(found, 'no_change')['ratio'] == pytest.approx(5 / 4, rel=1e-5)
    assert 'lpm_* of the paper are its linear model' in found.notes[2]
    trained = published_scores('adamson').query('perturbation == "CREB1" and split != "train"')
    assert found.table.set_index(['source', 'model'])['l2']['published', 'gears'] == pytest.approx(
        trained[trained['method'] == 'gears']['l2'].mean()
    )


@pytest.mark.parametrize(
    ('changed', 'sentence'),
    [
        ({'names': ['A+B', 'C', 'D', 'E']}, r"none of the held-out perturbations \('A\+B', 'C'\) .* \('AHR\+FEV'"),
        ({'contexts': ['K562', 'RPE1']}, r"of one context, but held out are profiles of 'K562', 'RPE1'"),
        ({'scale': 'z-score'}, r"are on the scale log1p, but held out is 'z-score'"),
    ],
)
def test_what_cannot_be_compared_is_refused(changed, sentence):
    rows = [(1, 0, [1.0]), (1, 1, [1.0])]
    predictions = predictions_of(rows, {'no_change': [[0.0], [0.0]]}, 1, **changed)
    with pytest.raises(InputError, match=f'evaluation.published: .*{sentence}'):
        beside_published(predictions, 'norman')


def test_a_config_names_a_known_data_set():
    config = {'seed': 0, 'data': {}, 'split': {'name': 'unseen_double'}, 'models': {}}
    assert parse(ml_collections.ConfigDict(config)).evaluation.published == ''
    config['evaluation'] = {'published': 'normann'}
    with pytest.raises(InputError, match=r"evaluation.published: .* of 'normann'; did you mean 'norman'\?"):
        parse(ml_collections.ConfigDict(config))
