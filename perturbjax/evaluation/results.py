"""All that is known of how a run's predictions did: what the tables, the report and notebooks are made of."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import anndata
import pandas as pd

from perturbjax.evaluation.calibration import calibrate
from perturbjax.evaluation.controls import add_permuted_labels, collapse
from perturbjax.evaluation.curves import readout_curves
from perturbjax.evaluation.doubles import Doubles, judge_doubles
from perturbjax.evaluation.scores import check, compare, score
from perturbjax.evaluation.summary import summarise
from perturbjax.evaluation.verdict import facts, notes, verdict


class Results(NamedTuple):
    """What judging predictions gives.

    Attributes:
      predictions: as the runner writes them, with other tools' predictions added.
      scores: one row per model, held-out profile and metric, see `scores.score`.
      summary: one row per model and metric, see `summary.summarise`.
      calibration: one row per metric, see `calibration.calibrate`; empty where the data has no replicates.
      curves: L2 and Pearson-delta by number of readouts, see `curves.readout_curves`.
      collapse: see `controls.collapse`.
      doubles: see `doubles.judge_doubles`; None without held-out combinations or without the additive model.
      training: the training curve: its index is the epoch, its columns are lines; None where nothing is trained.
      grid: the linear model's error by rank and ridge, see `models.grid.score_grid`; None where not asked for.
      verdict: sentences: does any model beat the simple rules here, and would the metrics show it?
      notes: sentences on what could not be predicted or judged.
      facts: short names and values for the head of the report, such as what was held out.
    """

    predictions: anndata.AnnData
    scores: pd.DataFrame
    summary: pd.DataFrame
    calibration: pd.DataFrame
    curves: pd.DataFrame
    collapse: pd.DataFrame
    doubles: Doubles | None
    training: pd.DataFrame | None
    grid: pd.DataFrame | None
    verdict: Sequence[str]
    notes: Sequence[str]
    facts: Mapping[str, str]


def judge(predictions: anndata.AnnData, seed: int = 0, replicates: int = 2000) -> Results:
    """Everything that predictions and their truth tell; training and grid are for the caller to add.

    Args:
      predictions: as the runner writes them; gets `permuted_labels` as one more model.
      seed: of the permutation and the bootstrap.
      replicates: of the bootstrap.

    Raises InputError on predictions that cannot be judged.
    """
    check(predictions)
    add_permuted_labels(predictions, seed)
    compared = compare(predictions)
    summary = summarise(predictions, compared, seed, replicates)
    calibration = calibrate(predictions, seed, replicates)
    return Results(
        predictions=predictions,
        scores=score(compared),
        summary=summary,
        calibration=calibration,
        curves=readout_curves(predictions),
        collapse=collapse(predictions),
        doubles=judge_doubles(predictions),
        training=None,
        grid=None,
        verdict=verdict(summary, calibration),
        notes=notes(compared, summary),
        facts=facts(compared),
    )
