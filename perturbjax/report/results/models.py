"""How models are shown: which of them are judged, the pen of each, and how far an axis goes for them."""

from collections.abc import Mapping

import numpy as np

from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.results import Results
from perturbjax.evaluation.scores import BASELINE
from perturbjax.evaluation.summary import BASELINES, CONTROLS
from perturbjax.report.canvas import PENS


def is_judged(model: object) -> bool:
    """Whether it is a model to be judged, not a simple rule or a control."""
    return model not in BASELINES + CONTROLS


def first_metric(results: Results) -> str:
    """The first metric of the tables, by which models are ordered."""
    return str(next(iter(results.summary['metric']), next(iter(METRICS))))


def pens(results: Results) -> dict[str, Mapping]:
    """The pen of each model, the same in every figure; models to be judged get the first pens.

    If there are more models than pens, the pens go to `mean` and to the models with the lowest ratio in the
    first metric. The other models are not in the result; they are drawn thin and grey.
    """
    rows = results.summary[results.summary['metric'] == first_metric(results)]
    ratio = rows['ratio'].where(rows['model'] != BASELINE, 0)
    best = set(rows['model'][ratio.sort_values(kind='stable').index[: len(PENS)]])
    shown = [model for model in rows['model'] if model in best]
    return dict(zip(sorted(shown, key=is_judged, reverse=True), PENS))


def reach(values: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The limits of an axis, chosen so that one very wrong model does not squeeze all others together.

    The axis goes two and a half times as far as the values of the simple rules. It has no limits if those
    values do not differ.
    """
    rules = [each for name, each in values.items() if name in BASELINES]
    known = np.concatenate(rules) if rules else np.zeros(0)
    low, high = (known.min(), known.max()) if len(known) else (0, 0)
    room = 1.5 * (high - low) or np.inf
    return float(low - room), float(high + room)
