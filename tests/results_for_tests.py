"""Results made by hand, for the tests of the report and its figures."""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.doubles import Doubles
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.repeats import SUPPORT
from perturbjax.evaluation.results import Results

EVIL = '<script>alert("x")</script> & \'co\''
# Each model's error as a ratio to that of the mean rule.
RATIOS = {'no_change': 1.25, 'mean': 1.0, 'lpm': 0.8, 'wild': 40.0, 'silent': np.nan, EVIL: 0.9}
READOUTS = 3


def results(ratios=None, profiles=4, **changed) -> Results:
    """A model's error is its ratio times 1, 2, ... in the first, second, ... profile; that of `mean` counts as 1.

    Truths are control plus 1, 2 and 3 in the three readouts, and predictions that times the ratio.
    """
    ratios = RATIOS if ratios is None else ratios
    given = Results(
        predictions=_predictions(ratios, profiles),
        scores=_scores(ratios, profiles),
        summary=_summary(ratios),
        calibration=_calibration(),
        curves=_curves(ratios),
        collapse=pd.DataFrame(
            [('truth', 0.25, 0.25)] + [(model, ratio / 2, 0.25) for model, ratio in ratios.items()],
            columns=['model', 'correlation', 'truth'],
        ),
        doubles=_doubles(ratios),
        training=pd.DataFrame(
            {'lpm, training RMSE': [3.0, 1.0, 0.5], EVIL: [np.nan, 1.5, np.inf], 'empty': [np.nan] * 3},
            index=pd.Index([1, 2, 3], name='epoch'),
        ),
        linear_sweep=pd.DataFrame(
            [
                (split, rank, ridge, 1.0, rank * ridge + split)
                for split in (0, 1)
                for rank in (1, 9)
                for ridge in (0, 1)
            ],
            columns=['split', 'rank', 'ridge', 'l2', 'ratio'],
        ),
        verdict=['lpm beats it.', f'{EVIL} does not.'],
        notes=['few profiles', EVIL],
        run_facts={'Data': EVIL, EVIL: '1'},
    )
    return given._replace(**changed)


def _profile(number):
    return {'split': 13 + number % 2, 'screen': 'screen', 'context': 'K562', 'perturbation': f'CRISPRi_G{number}'}


def _predictions(ratios, profiles):
    delta = np.tile(np.arange(1.0, READOUTS + 1), (profiles, 1))
    layers = {'truth': 5 + delta, 'control': np.full_like(delta, 5), 'perturbed_mean': 5 + delta / 2}
    layers |= {model: 5 + ratio * delta for model, ratio in ratios.items()}
    obs = pd.DataFrame([_profile(number) for number in range(profiles)], index=[str(i) for i in range(profiles)])
    return anndata.AnnData(obs=obs, layers=layers, uns={'models': list(ratios), 'scale': {'screen': 'log1p'}})


def _scores(ratios, profiles):
    rows = [
        {'model': model, **_profile(number), 'metric': metric, 'value': ratio * (number + 1), 'reference': 1.0}
        for model, ratio in ratios.items()
        for number in range(profiles)
        for metric in METRICS
    ]
    return pd.DataFrame(rows).assign(coverage=1.0, readouts=READOUTS)


def _summary(ratios):
    rows = []
    for model, ratio in ratios.items():
        for metric, about in METRICS.items():
            row = {'model': model, 'metric': metric, 'baseline': 'mean', 'p_value': 0.01, 'coverage': 1.0}
            names = ['value', 'ratio', 'baseline_ratio'] if about.lower_is_better else ['value']
            row |= dict.fromkeys(names, ratio) | {'difference': ratio - 1}
            rows.append(row)
    table = pd.DataFrame(rows).assign(perturbations=40, splits=2)
    for name in ('value', 'ratio', 'baseline_ratio', 'difference'):
        ends = ('low', 'high') if name == 'value' else (f'{name}_low', f'{name}_high')
        table[list(ends)] = np.stack([table[name] - 0.05, table[name] + 0.05], axis=1)
    anchored = 1 - table['value']
    return table.assign(anchored=anchored, anchored_low=anchored - 0.05, anchored_high=anchored + 0.05, anchor='repeat')


def _calibration():
    """The first metric is calibrated, the second is not, of the third it is not known, and so on."""
    table = pd.DataFrame({'metric': list(METRICS)})
    drf = [(0.5, 0.02, np.nan)[number % 3] for number in range(len(METRICS))]
    table = table.assign(negative=2.0, permuted=3.0, duplicate=1.0, interpolated=0.5, drf=drf)
    table['drf_low'], table['drf_high'], table['drf_interpolated'] = table['drf'] - 0.1, table['drf'] + 0.1, 0.75
    known = (table['drf_low'] > 0).astype('boolean').where(table['drf'].notna())
    return table.assign(bds=0.75, duplicates=40, calibrated=known)


def _curves(ratios):
    rows = [
        (model, metric, ranking, n, ratio * n if n > 1 or metric == 'l2' else np.nan)
        for model, ratio in ratios.items()
        for metric in ('l2', 'pearson_delta')
        for ranking in ('control', 'delta')
        for n in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=['model', 'metric', 'ranking', 'n', 'value'])


def _doubles(ratios):
    """Two of ten values are called; the second split is ranked worse than the first."""
    names = ['screen', 'context', 'perturbation', 'readout', 'interaction', 'fdr', 'class', *SUPPORT]
    calls = pd.DataFrame(columns=names)
    nulls = pd.DataFrame([{'screen': 'screen', 'delta': 0.0, 'sigma': 0.5, 'called': 2}])
    keys = [{'screen': 'screen', 'model': model, 'split': split} for model in ratios for split in (13, 14)]
    areas = {'auprc': 0.625, 'auroc': 0.75, 'positives': 2, 'ranked': 10}
    curve = {'false_discovery_proportion': [0.0, 0.5, 0.8], 'true_positive_rate': [0.5, 0.5, 1.0]}
    worse = {'false_discovery_proportion': [1.0, 0.5, 0.8], 'true_positive_rate': [0.0, 0.5, 1.0]}
    curves = [pd.DataFrame(worse if key['split'] == 14 else curve).assign(**key) for key in keys]
    return Doubles(
        calls=calls,
        nulls=nulls,
        ranking=pd.DataFrame([key | areas for key in keys]),
        curves=pd.concat(curves),
        notes=['No interactions are called in other.'],
    )
