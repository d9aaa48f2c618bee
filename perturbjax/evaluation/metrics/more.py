"""The metrics of other packages that no run computes unless its config names them, by name.

They count in the verdict like all others, so a config that names them changes what it says.
"""

from collections.abc import Sequence

from perturbjax.errors import InputError, did_you_mean
from perturbjax.evaluation.metrics.direction import de_direction_match, de_pr_auc, de_roc_auc, de_spearman
from perturbjax.evaluation.metrics.registry import METRICS, Metric
from perturbjax.evaluation.metrics.strongest import mse_strongest, opposite_strongest, pearson_strongest

MORE_METRICS = {
    'de_direction': Metric(
        False, '0 to 1', 'profiles',
        lambda c: de_direction_match(c.truth, c.prediction, c.control, c.p_value),
        'Of the readouts that truly respond (false discovery rate 5%), the share that the prediction moves in the true '
        'direction.',
        'cell-eval (Arc Institute)',
        needs='p_value',
    ),
    'de_spearman': Metric(
        False, '-1 to 1', 'profiles',
        lambda c: de_spearman(c.truth, c.prediction, c.control, c.p_value),
        "Spearman's correlation of the predicted and the true change from control over the readouts that truly "
        'respond.',
        'cell-eval (Arc Institute)',
        0.0,
        needs='p_value',
    ),
    'de_roc_auc': Metric(
        False, '0 to 1', 'profiles',
        lambda c: de_roc_auc(c.truth, c.prediction, c.control, c.p_value),
        'How often a readout that truly responds is predicted to move more than one that does not; 0.5 is chance.',
        'cell-eval (Arc Institute), by the predicted change in place of p values',
        needs='p_value',
    ),
    'de_pr_auc': Metric(
        False, '0 to 1', 'profiles',
        lambda c: de_pr_auc(c.truth, c.prediction, c.control, c.p_value),
        'Average precision with which the readouts that truly respond are found by the size of their predicted change; '
        'chance is the share of readouts that respond.',
        'cell-eval (Arc Institute), by the predicted change in place of p values',
        needs='p_value',
    ),
    'mse_top20': Metric(
        True, '0 or more', 'profiles',
        lambda c: mse_strongest(c.truth, c.prediction, c.statistic),
        'Mean squared error over the 20 readouts that truly respond most strongly (by the t statistic against '
        'control).',
        'GEARS (Roohani et al. 2024), release',
        needs='statistic',
    ),
    'pearson_top20': Metric(
        False, '-1 to 1', 'profiles',
        lambda c: pearson_strongest(c.truth, c.prediction, c.statistic),
        'Correlation of prediction and truth over the same 20 readouts; it is of the values, not of their changes.',
        'GEARS (Roohani et al. 2024), release',
        0.0,
        needs='statistic',
    ),
    'opposite_top20': Metric(
        True, '0 to 1', 'profiles',
        lambda c: opposite_strongest(c.truth, c.prediction, c.control, c.statistic),
        'Share of the same 20 readouts that are predicted to move in the opposite direction; 0 for a prediction '
        'without change.',
        'GEARS (Roohani et al. 2024), release',
        needs='statistic',
    ),
}  # fmt: skip

ALL_METRICS = METRICS | MORE_METRICS


def check_metrics(names: Sequence[str]) -> None:
    """Raises InputError unless every name is a metric, each once, and there is at least one."""
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise InputError(f'evaluation.metrics: {names!r} must be names of metrics, at least one, each once.')
    for name in names:
        if name not in ALL_METRICS:
            raise InputError(f'evaluation.metrics: no such metric {name!r}; {did_you_mean(name, ALL_METRICS)}')
