"""How far a prediction is from the truth: one pure function per metric, and all of them by name."""

from perturbjax.evaluation.metrics.more import ALL_METRICS, MORE_METRICS, check_metrics
from perturbjax.evaluation.metrics.registry import METRICS, Comparison, Metric

__all__ = ['ALL_METRICS', 'METRICS', 'MORE_METRICS', 'Comparison', 'Metric', 'check_metrics']
