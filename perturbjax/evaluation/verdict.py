"""The results in words: the verdict, notes that the reader should know, and what was held out."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from perturbjax.errors import some
from perturbjax.evaluation.anchors import REPEAT
from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.scores import BASELINE, Compared
from perturbjax.evaluation.statistics import LEAST_CLUSTERS
from perturbjax.evaluation.summary import BASELINES, BETTER, CONTROLS, NEARLY_ALL, WORSE, outcome
from perturbjax.evaluation.tables import number

# A metric is saturated if the best rule surely gets as far on the common scale, from 0 to 1; see `anchors`.
SATURATED = 0.95


def verdict(summary: pd.DataFrame, calibration: pd.DataFrame, unknown: str = '') -> list[str]:
    """Sentences that say which models beat the best simple rule, which rule that is, and which metrics can tell.

    Only metrics of single profiles count, because only they can be paired by perturbation; if calibration is
    known, only calibrated ones. See `summary.outcome` for when a model beats a rule.

    Args:
      summary: as `summary.summarise` returns it, with the columns of `anchors.anchored`.
      calibration: as `calibration.calibrate` returns it.
      unknown: the reason why there is no calibration, see `calibration.why_unknown`.
    """
    single = [name for name, metric in ALL_METRICS.items() if metric.over != 'values' and _is_known(summary, name)]
    judged = calibration[calibration['metric'].isin(single) & calibration['calibrated'].notna()]
    counted = list(judged['metric'][judged['calibrated'].astype(bool)]) if len(judged) else single
    sentences = []
    for model, rows in summary.groupby('model', sort=False):
        if counted and model not in BASELINES + CONTROLS:
            sentences.append(_on_model(str(model), rows, counted, bool(len(judged))))
    known = _on_calibration(single, counted, judged) if len(judged) else _not_known(calibration, unknown)
    return [*sentences, *_on_rules(summary, counted), known]


def _not_known(calibration: pd.DataFrame, reason: str) -> str:
    if len(calibration):
        pairs = int(calibration['duplicates'].max())
        reason = (
            f'{pairs} of the held-out perturbations {"has" if pairs == 1 else "have"} replicates to compare, and at '
            f'least {LEAST_CLUSTERS} are needed'
        )
    return f'Which metrics are calibrated here is not known: {reason or "it was not measured"}.'


def _is_known(summary: pd.DataFrame, metric: str) -> bool:
    return bool(summary['value'][summary['metric'] == metric].notna().any())


def _on_calibration(single: list[str], calibrated: list[str], judged: pd.DataFrame) -> str:
    rests = f'This rests on {int(judged["duplicates"].max()):,} held-out perturbations that have replicates.'
    if not calibrated:
        return (
            'No metric of single profiles is calibrated here: a repeat of the experiment does '
            'not clearly beat a prediction that knows nothing of the perturbation, so no score can tell models apart. '
            f'{rests}'
        )
    return (
        f'Calibrated here are {len(calibrated)} of the {len(single)} metrics of single profiles '
        f'({", ".join(calibrated)}): by them, a '
        f'repeat of the experiment clearly beats a prediction that knows nothing of the perturbation. {rests}'
    )


def _on_rules(summary: pd.DataFrame, metrics: list[str]) -> Iterator[str]:
    """Says which simple rule is best, by the first metric that has a ratio, and what is left to show beside rules."""
    best = summary[summary['model'] == summary['baseline']]
    best = best.sort_values('metric', key=lambda names: names.map(list(ALL_METRICS).index))
    for row in best[best['ratio_low'].notna()].head(1).itertuples():
        if row.model == BASELINE:
            yield f'No simple rule has a lower {row.metric} than {BASELINE}.'
        else:
            ratio = _interval(row.ratio, row.ratio_low, row.ratio_high)
            yield f'Of the simple rules {row.model} has the lowest {row.metric}: {ratio} times that of {BASELINE}.'
    yield from _on_saturation(best[best['metric'].isin(metrics)])


def _on_saturation(best: pd.DataFrame) -> Iterator[str]:
    """Says how far the best rule of each metric gets on the common scale, and which metrics are saturated by rules."""
    known = _on_scale(best)
    for row in known.head(1).itertuples():
        yield f'What the rules take already: by {row.metric} {row.model} goes {_on_the_way(row)}.'
    full = known['metric'][known['anchored_low'] >= SATURATED]
    if len(full):
        yield (
            f'Saturated are {len(full)} of {len(known)} metrics ({", ".join(full)}): by them the best rule goes '
            f'{SATURATED:.0%} of that way or more, so little is left for a model to show.'
        )


def _on_model(model: str, rows: pd.DataFrame, metrics: list[str], calibrated: bool) -> str:
    """Says on how many metrics the model beats the best simple rule, and by how much in the first of them."""
    rows = rows[rows['metric'].isin(metrics) & rows['difference_low'].notna()]
    if rows.empty:
        return f'{model}: too little is held out or predicted to compare it with a simple rule.'
    enough = rows[rows['perturbations'] >= LEAST_CLUSTERS]
    if enough.empty:
        return (
            f'{model}: too few perturbations are held out and predicted to tell it from a simple rule, which takes at '
            f'least {LEAST_CLUSTERS} ({_example(rows)}).'
        )
    rows = enough
    outcomes = [outcome(row) for row in rows.itertuples()]
    better, worse = outcomes.count(BETTER), outcomes.count(WORSE)
    which = 'metrics that are calibrated here' if calibrated else 'metrics'
    return (
        f'{model} beats the best simple rule on {better} of {len(rows)} {which}, loses on {worse}'
        f'{_gap(rows)} ({_example(rows)}).'
        + ''.join(f' By {row.metric} it goes {_on_the_way(row)}.' for row in _on_scale(rows).head(1).itertuples())
    )


def _on_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that have an anchored score; see `anchors`."""
    return rows[rows['anchored_low'].notna()]


def _on_the_way(row: Any) -> str:
    reached = _interval(row.anchored, row.anchored_low, row.anchored_high)
    top = 'a repeat of the experiment' if row.anchor == REPEAT else 'a perfect prediction'
    return f'{reached} of the way from the mean of the context to {top}'


def _gap(rows: pd.DataFrame) -> str:
    coverage = rows['coverage'].iloc[0]
    return '' if coverage >= NEARLY_ALL else f', over the {coverage:.0%} of the values that it predicts'


def _example(rows: pd.DataFrame) -> str:
    """Says how far the model is from the rule, in the first metric with a ratio, or else in the first metric."""
    with_ratio = rows[rows['baseline_ratio_low'].notna()]
    row = next(iter((with_ratio if len(with_ratio) else rows).itertuples()))
    count = f'{row.perturbations} perturbations, {row.splits} {"split" if row.splits == 1 else "splits"}'
    if len(with_ratio):
        ratio = _interval(row.baseline_ratio, row.baseline_ratio_low, row.baseline_ratio_high)
        return f'{row.metric}: {ratio} times that of {row.baseline}; {count}'
    difference = _interval(row.difference, row.difference_low, row.difference_high)
    return f'{row.metric}: {difference} more than {row.baseline}; {count}'


def _interval(value: Any, low: Any, high: Any) -> str:
    return f'{number(value)} (95% {number(low)} to {number(high)})'


def run_facts(compared: Compared) -> dict[str, str]:
    """What was held out, as names and values for the head of the report."""
    profiles = compared.profiles
    held_out = profiles[['context', 'perturbation']].drop_duplicates()
    return {
        'Held out': f'{len(held_out)} pairs of context and perturbation, {len(profiles)} profiles',
        'Contexts': some(profiles['context'].unique()),
        'Splits': some(profiles['split'].unique()),
        'Screens': some(profiles['screen'].unique()),
        'Measured values': f'{compared.measured.sum():,}',
    }


def notes(compared: Compared, summary: pd.DataFrame, reasons: Mapping[str, str] | None = None) -> list[str]:
    """Sentences to know before comparing models: few pairs are held out, or a model has gaps.

    Args:
      compared: the comparison that `summary` was made from.
      summary: as `summary.summarise` returns it.
      reasons: by model, a sentence that says where it has no answer, see `gaps.where_silent`.
    """
    coverage = summary[~summary['model'].isin(CONTROLS)].groupby('model', sort=False)['coverage'].first()
    gaps = [
        f'{model} predicts {_share(share)} of the measured values; its scores are over these alone, '
        'and its ratio compares it with the baseline over the same values.'
        + (f' {reasons[str(model)]}' if reasons and model in reasons else '')
        for model, share in coverage[coverage < 1].items()
    ]
    pairs = len(compared.profiles[['context', 'perturbation']].drop_duplicates())
    few = [f'Few pairs are held out ({pairs}), so the intervals are wide, or too narrow.'] * (pairs < 10)
    return [*few, *gaps]


def _share(share: float) -> str:
    """A share below 1, rounded down, so that a gap is never called 100%."""
    return f'{math.floor(1000 * share) / 1000:.1%}'
