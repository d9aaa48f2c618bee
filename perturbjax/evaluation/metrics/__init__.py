"""How far a prediction is from the truth: one pure function per metric, and all of them by name."""

from perturbjax.evaluation.metrics.registry import METRICS, Comparison, Metric

__all__ = ['METRICS', 'Comparison', 'Metric']
