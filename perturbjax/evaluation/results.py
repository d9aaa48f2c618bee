"""Everything known about how well a run's predictions did; tables, the report and notebooks are made from it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import anndata
import pandas as pd

from perturbjax.evaluation.anchors import anchored
from perturbjax.evaluation.calibration import calibrate, compare_halves, why_unknown
from perturbjax.evaluation.controls import add_permuted_labels, collapse
from perturbjax.evaluation.coverage import COLUMNS as COVERAGE_COLUMNS
from perturbjax.evaluation.coverage import interval_coverage
from perturbjax.evaluation.curves import readout_curves
from perturbjax.evaluation.doubles import Doubles, judge_doubles
from perturbjax.evaluation.gaps import where_silent
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.published import Beside
from perturbjax.evaluation.sameness import nearly_one_answer
from perturbjax.evaluation.scores import check, compare, score
from perturbjax.evaluation.summary import summarise
from perturbjax.evaluation.verdict import notes, run_facts, verdict
from perturbjax.evaluation.weighting import note_on_weights


class Results(NamedTuple):
    """The results of judging predictions.

    Attributes:
      predictions: the predictions of the run, with other tools' predictions added.
      scores: one row per model, held-out profile and metric, see `scores.score`.
      summary: one row per model and metric, see `summary.summarise` and, for the common scale, `anchors.anchored`.
      calibration: one row per metric, see `calibration.calibrate`; empty if no profile has a duplicate.
      curves: L2 and Pearson-delta by number of readouts, see `curves.readout_curves`.
      collapse: whether predictions differ between perturbations, see `controls.collapse`.
      doubles: genetic interactions, see `doubles.judge_doubles`; None without held-out combinations or without
        the additive model.
      training: the training curve; the index is the epoch, each column is a line. None if nothing was trained.
      linear_sweep: the linear model's error by rank and ridge, see `evaluation.linear_sweep`; None if the
        config does not ask for it.
      verdict: sentences that say whether a model beats the simple rules, and whether the metrics could show it.
      notes: sentences about what could not be predicted or judged.
      run_facts: names and values for the head of the report, such as what was held out.
      calibration_unknown: the reason why no profile has a duplicate; empty if some have.
      interval_coverage: how often the intervals of models with a spread hold the truth, see
        `coverage.interval_coverage`; empty if no model has one.
      published: published scores beside the run's, see `published.beside_published`; None if the config names none.
    """

    predictions: anndata.AnnData
    scores: pd.DataFrame
    summary: pd.DataFrame
    calibration: pd.DataFrame
    curves: pd.DataFrame
    collapse: pd.DataFrame
    doubles: Doubles | None
    training: pd.DataFrame | None
    linear_sweep: pd.DataFrame | None
    verdict: Sequence[str]
    notes: Sequence[str]
    run_facts: Mapping[str, str]
    calibration_unknown: str = ''
    interval_coverage: pd.DataFrame = pd.DataFrame(columns=COVERAGE_COLUMNS)
    published: Beside | None = None


def judge(
    predictions: anndata.AnnData,
    seed: int = 0,
    bootstrap_samples: int = 2000,
    metrics: Sequence[str] = tuple(METRICS),
) -> Results:
    """Judges predictions by their truth; the caller adds `training`, `linear_sweep` and `published`.

    Args:
      predictions: as a run writes them; `permuted_labels` is added to them as one more model. With weights of
        profiles where `weighting.add_weights` added them.
      seed: seed of the permutation and the bootstrap.
      bootstrap_samples: number of bootstrap samples.
      metrics: names of the metrics to judge by, see `metrics.ALL_METRICS`.

    Raises:
      InputError: the predictions cannot be judged, for example because they have no truth.
    """
    check(predictions)
    add_permuted_labels(predictions, seed)
    compared = compare(predictions, metrics=metrics)
    summary = summarise(predictions, compared, seed, bootstrap_samples)
    unknown = why_unknown(predictions)
    halves = None if unknown else compare_halves(predictions, seed, compared.models, metrics)
    calibration = calibrate(predictions, seed, bootstrap_samples, halves)
    calibrated = calibration.set_index('metric')['calibrated']
    scale = anchored(predictions, compared, halves, calibrated, seed, bootstrap_samples)
    summary = summary.merge(scale, on=['model', 'metric'], how='left')
    return Results(
        predictions=predictions,
        scores=score(compared),
        summary=summary,
        calibration=calibration,
        curves=readout_curves(predictions),
        collapse=collapse(predictions),
        doubles=judge_doubles(predictions),
        training=None,
        linear_sweep=None,
        verdict=verdict(summary, calibration, unknown),
        notes=[
            *note_on_weights(predictions),
            *nearly_one_answer(predictions),
            *notes(compared, summary, where_silent(predictions)),
        ],
        run_facts=run_facts(compared),
        calibration_unknown=unknown,
        interval_coverage=interval_coverage(predictions, seed, bootstrap_samples),
    )
