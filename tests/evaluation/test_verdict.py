"""Every sentence of the verdict, from summaries made up by hand."""

import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.responders import Responders
from perturbjax.evaluation.scores import Compared
from perturbjax.evaluation.verdict import notes, run_facts, verdict

NAN = np.nan
UNKNOWN = pd.DataFrame(columns=['metric', 'calibrated'])


def row(model, metric, difference=NAN, ratio=NAN, coverage=1.0, baseline='mean', width=0.1, p_value=0.01):
    """A row of the summary whose intervals are `width` wide to either side."""
    ends = {}
    for name, value in {'difference': difference, 'baseline_ratio': ratio, 'ratio': ratio}.items():
        ends |= {name: value, f'{name}_low': value - width, f'{name}_high': value + width}
    about = {'model': model, 'metric': metric, 'value': 0.5, 'baseline': baseline, 'coverage': coverage}
    return {**about, **ends, 'anchored_low': NAN, 'p_value': p_value, 'perturbations': 16, 'splits': 2}


def summary_of(*rows):
    rules = [row('mean', 'l2', 0, 1), row('no_change', 'l2', 1, 2), row('mean', 'pearson_delta', 0)]
    return pd.DataFrame([*rules, *rows])


def calibration_of(**calibrated):
    known = pd.array(list(calibrated.values()), 'boolean')
    return pd.DataFrame({'metric': list(calibrated), 'duplicates': 16, 'calibrated': known})


def of_model(*rows, calibration=UNKNOWN):
    """The sentences on a model; there is one, or none."""
    return verdict(summary_of(*rows), calibration)[:-2]


def test_without_a_duplicate_calibration_is_not_known():
    last = verdict(summary_of(), UNKNOWN, 'no held-out profile has replicates')[-1]
    assert last == 'Which metrics are calibrated here is not known: no held-out profile has replicates.'


def test_with_too_few_duplicates_calibration_is_not_known_and_models_are_judged():
    calibration = calibration_of(l2=None, pearson_delta=None).assign(duplicates=1)
    first, *_, last = verdict(summary_of(row('lpm', 'l2', -0.5, 0.6)), calibration)
    assert first.startswith('lpm beats the best simple rule on 1 of 1 metrics, loses on 0 (l2: 0.600 ')
    assert last == (
        'Which metrics are calibrated here is not known: 1 of the held-out perturbations has replicates to compare, '
        'and at least 6 are needed.'
    )


def test_a_metric_whose_calibration_is_not_known_does_not_count():
    rows = row('lpm', 'l2', -0.5, 0.6), row('lpm', 'pearson_delta', 0.3)
    (found,) = of_model(*rows, calibration=calibration_of(l2=True, pearson_delta=None))
    assert found.startswith('lpm beats the best simple rule on 1 of 1 metrics that are calibrated here, ')


def test_too_few_perturbations_are_no_verdict():
    (found,) = of_model({**row('lpm', 'l2', -0.5, 0.6), 'perturbations': 3})
    assert found == (
        'lpm: too few perturbations are held out and predicted to tell it from a simple rule, which takes at least 6 '
        '(l2: 0.600 (95% 0.500 to 0.700) times that of mean; 3 perturbations, 2 splits).'
    )
    # A metric that is defined for few of them is not counted.
    few = {**row('lpm', 'pearson_delta', 0.3), 'perturbations': 5}
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6), few)
    assert found.startswith('lpm beats the best simple rule on 1 of 1 metrics, ')


@pytest.mark.parametrize(
    ('l2', 'pearson_delta', 'expected'),
    [
        (True, True, 'Calibrated here are 2 of the 2 metrics of single profiles (l2, pearson_delta): by them, '),
        (False, True, 'Calibrated here are 1 of the 2 metrics of single profiles (pearson_delta): by them, '),
        (False, False, 'No metric of single profiles is calibrated here: a repeat of the experiment '),
    ],
)
def test_which_metrics_are_calibrated(l2, pearson_delta, expected):
    # Metrics over all values and those that nothing is known of are not counted.
    calibration = calibration_of(l2=l2, rmse=True, pearson_delta=pearson_delta, des=True)
    found = verdict(summary_of(row('lpm', 'rmse', -1, 0.5)), calibration)[-1]
    assert found.startswith(expected)
    assert found.endswith(' This rests on 16 held-out perturbations that have replicates.')


def test_where_nothing_is_calibrated_no_model_is_judged():
    calibration = calibration_of(l2=False, pearson_delta=False)
    assert of_model(row('lpm', 'l2', -1, 0.5), row('silent', 'l2'), calibration=calibration) == []


def test_mean_is_the_best_simple_rule():
    assert verdict(summary_of(), UNKNOWN)[-2] == 'No simple rule has a lower l2 than mean.'


def test_another_is_the_best_simple_rule():
    summary = summary_of(row('context_mean', 'l2', 0, 0.8))
    summary['baseline'] = 'context_mean'
    expected = 'Of the simple rules context_mean has the lowest l2: 0.800 (95% 0.700 to 0.900) times that of mean.'
    assert verdict(summary, UNKNOWN)[-2] == expected


def test_without_intervals_no_simple_rule_is_named():
    summary = summary_of()
    summary[['ratio_low', 'ratio_high']] = NAN
    assert len(verdict(summary, UNKNOWN)) == 1


def on_scale(metric, low, anchor='repeat', baseline='context_mean'):
    """The row of the best rule, with its anchored score."""
    ends = {'anchored': low + 0.02, 'anchored_low': low, 'anchored_high': low + 0.04, 'anchor': anchor}
    return {**row(baseline, metric, 0, 0.8, baseline=baseline), **ends}


def test_what_the_rules_take_already_is_told():
    calibration = calibration_of(l2=True, pearson_delta=True, mse=False)
    rows = on_scale('pearson_delta', 0.95), on_scale('l2', 0.5), on_scale('mse', 0.99)  # this one is not calibrated
    _, taken, saturated, _ = verdict(pd.DataFrame(rows), calibration)
    assert taken == (
        'What the rules take already: by l2 context_mean goes 0.520 (95% 0.500 to 0.540) of the way from the mean of '
        'the context to a repeat of the experiment.'
    )
    assert saturated == (
        'Saturated are 1 of 2 metrics (pearson_delta): by them the best rule goes 95% of that way or more, so little '
        'is left for a model to show.'
    )


def test_where_much_is_left_nothing_is_called_saturated():
    rows = on_scale('l2', 0.94, 'perfect'), on_scale('pearson_delta', NAN, 'perfect')
    _, taken, _ = verdict(pd.DataFrame(rows), UNKNOWN)
    assert taken.endswith(
        ' 0.960 (95% 0.940 to 0.980) of the way from the mean of the context to a perfect prediction.'
    )


def test_a_model_that_wins():
    # Lower is better by one, higher by the other.
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6), row('lpm', 'pearson_delta', 0.3))
    assert found == (
        'lpm beats the best simple rule on 2 of 2 metrics, loses on 0 '
        '(l2: 0.600 (95% 0.500 to 0.700) times that of mean; 16 perturbations, 2 splits).'
    )


def test_a_model_that_loses():
    (found,) = of_model(row('lpm', 'l2', 0.5, 1.5), row('lpm', 'pearson_delta', -0.3))
    assert found.startswith('lpm beats the best simple rule on 0 of 2 metrics, loses on 2 (l2: 1.50 ')


def test_an_interval_with_0_is_neither():
    (found,) = of_model(row('lpm', 'l2', 0.05, 1.05), row('lpm', 'pearson_delta', -0.05))
    assert found.startswith('lpm beats the best simple rule on 0 of 2 metrics, loses on 0 ')


def test_an_interval_without_0_is_not_enough():
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6, p_value=0.05), row('lpm', 'pearson_delta', 0.3, p_value=NAN))
    assert found.startswith('lpm beats the best simple rule on 0 of 2 metrics, loses on 0 ')


def test_only_calibrated_metrics_count():
    calibration = calibration_of(l2=False, pearson_delta=True)
    (found,) = of_model(row('lpm', 'l2', 0.5, 1.5), row('lpm', 'pearson_delta', 0.3), calibration=calibration)
    assert found == (
        'lpm beats the best simple rule on 1 of 1 metrics that are calibrated here, loses on 0 '
        '(pearson_delta: 0.300 (95% 0.200 to 0.400) more than mean; 16 perturbations, 2 splits).'
    )


def test_a_model_with_gaps_is_told():
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6, coverage=0.5))
    assert ', loses on 0, over the 50% of the values that it predicts (l2: ' in found
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6, coverage=0.995))
    assert 'of the values' not in found


def test_one_split_is_one_split():
    (found,) = of_model({**row('lpm', 'l2', -0.5, 0.6), 'splits': 1})
    assert found.endswith('; 16 perturbations, 1 split).')


def test_too_little_to_compare():
    # Nothing predicted, or one perturbation: no interval.
    (found,) = of_model(row('silent', 'l2', coverage=0.0))
    assert found == 'silent: too little is held out or predicted to compare it with a simple rule.'
    (found,) = of_model(row('lpm', 'l2', -0.5, 0.6, width=NAN))
    assert found == 'lpm: too little is held out or predicted to compare it with a simple rule.'


def test_rules_and_controls_are_not_judged():
    assert of_model(row('additive', 'l2', -0.5, 0.6), row('permuted_labels', 'l2', 0.5, 2)) == []


def compared_of(pairs, measured=(1000, 500)):
    profiles = pd.DataFrame(
        {
            'split': [13, 14] * pairs,
            'screen': 's',
            'context': ['a', 'b'] * pairs,
            'perturbation': np.repeat([f'p{i}' for i in range(pairs)], 2),
        }
    )
    return Compared(
        profiles, [], np.empty(0), np.empty(0), np.tile(measured, pairs), Responders(np.empty(0), np.empty(0))
    )


def test_run_facts():
    assert run_facts(compared_of(10)) == {
        'Held out': '20 pairs of context and perturbation, 20 profiles',
        'Contexts': 'a, b',
        'Splits': '13, 14',
        'Screens': 's',
        'Measured values': '15,000',
    }
    many = compared_of(5)
    many.profiles['context'] = [f'c{i}' for i in range(10)]
    assert run_facts(many)['Contexts'] == 'c0, c1, c2, c3, c4, c5, c6, c7 and 2 more'


def test_notes():
    gaps = summary_of(row('lpm', 'l2', coverage=0.764))
    assert notes(compared_of(5), summary_of()) == []
    (found,) = notes(compared_of(5), gaps)
    assert found.startswith('lpm predicts 76.4% of the measured values; its scores are over these alone, ')
    (nearly,) = notes(compared_of(5), summary_of(row('lpm', 'l2', coverage=0.99999)))
    assert nearly.startswith('lpm predicts 99.9% of the measured values; ')
    (told,) = notes(compared_of(5), gaps, {'lpm': 'The others have no control.', 'mean': 'It has all.'})
    assert told == f'{found} The others have no control.'
    few, other = notes(compared_of(4), gaps)
    assert few == 'Few pairs are held out (8), so the intervals are wide, or too narrow.'
    assert other == found
