"""What a metric is, and those that every run computes, by name.

Their formulas are in the other modules of this folder; more.py has the metrics that a config may choose besides.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from jaxtyping import Float

from perturbjax.evaluation.metrics.correlations import pearson, pearson_delta, r2, weighted_r2_delta
from perturbjax.evaluation.metrics.discrimination import cosine, l1, l2
from perturbjax.evaluation.metrics.distances import l2_top, mae, mse, rmse, weighted_mse
from perturbjax.evaluation.metrics.overlap import de_overlap
from perturbjax.screens.arrays import Array


class Comparison(NamedTuple):
    """The inputs of a metric of a profile, or of several.

    Attributes:
      truth, prediction: of the profile.
      control: control of the context.
      perturbed_mean: mean of the profiles of the training perturbations in the context.
      level: control again, if readouts can be ranked by it, or None.
      weight, p_value: which readouts respond, see `responders`.
      statistic: how strongly they do, see `responders`; None if no metric asks for it.
    """

    truth: Float[Array, '*batch M']
    prediction: Float[Array, '*batch M']
    control: Float[Array, '*batch M']
    perturbed_mean: Float[Array, '*batch M']
    level: Float[Array, '*batch M'] | None
    weight: Float[Array, '*batch M']
    p_value: Float[Array, '*batch M']
    statistic: Float[Array, '*batch M'] | None = None


class Metric(NamedTuple):
    """One metric of the tables.

    Attributes:
      lower_is_better: the direction of the metric.
      range: the range of its values, in words.
      over: how profiles are summarised. `profiles`: the mean over single profiles. `values`: computed once over
        all values, see `pooling`. `perturbations`: the mean over single profiles too, but a value needs the
        other perturbations of the context.
      function: takes a `Comparison`; for `perturbations`, the distance that `discrimination` takes.
      definition: the sentence that the report prints.
      source: the paper or package that it comes from.
      chance: the value for a prediction for which it is undefined, such as a correlation without change.
      needs: the field of `Responders` that it is computed from, which is known of profiles with replicates alone;
        empty if it needs none.
    """

    lower_is_better: bool
    range: str
    over: Literal['profiles', 'values', 'perturbations']
    function: Callable
    definition: str
    source: str
    chance: float | None = None
    needs: Literal['', 'weight', 'p_value', 'statistic'] = ''

    @property
    def sign(self) -> int:
        """1 if lower is better, else -1; a value times the sign is always lower for the better prediction."""
        return 1 if self.lower_is_better else -1

    @property
    def perfect(self) -> float:
        """The value of a perfect prediction."""
        return 0.0 if self.lower_is_better else 1.0


METRICS = {
    'l2': Metric(
        True, '0 or more', 'profiles',
        lambda c: l2_top(c.truth, c.prediction, c.level),
        'Euclidean distance of prediction and truth over the 1,000 readouts highest in control (over all of them '
        'where there are fewer, or where the scale gives control no level).',
        'Ahlmann-Eltze et al. 2025',
    ),
    'rmse': Metric(
        True, '0 or more', 'values',
        lambda c: rmse(c.truth, c.prediction),
        'Root of the mean squared error over all values.',
        'Miladinovic et al. 2025, release',
    ),
    'mse': Metric(
        True, '0 or more', 'values',
        lambda c: mse(c.truth, c.prediction),
        'Mean squared error over all values.',
        'Miladinovic et al. 2025, release',
    ),
    'mae': Metric(
        True, '0 or more', 'values',
        lambda c: mae(c.truth, c.prediction),
        'Mean absolute error over all values.',
        'Miladinovic et al. 2025, release',
    ),
    'r2': Metric(
        False, 'at most 1', 'values',
        lambda c: r2(c.truth, c.prediction),
        'Share of the variance of all values that the prediction explains; 1 is perfect, 0 is as good as one constant.',
        'Miladinovic et al. 2025, release',
    ),
    'pearson': Metric(
        False, '-1 to 1', 'values',
        lambda c: pearson(c.truth, c.prediction),
        'Correlation of prediction and truth over all values; high for any prediction that knows which readouts are '
        'high, whatever the perturbation.',
        'Miladinovic et al. 2025, release',
        0.0,
    ),
    'pearson_delta': Metric(
        False, '-1 to 1', 'profiles',
        lambda c: pearson_delta(c.truth, c.prediction, c.control),
        'Correlation of the predicted and the true change from control. It rewards what all perturbations have in '
        'common.',
        'Ahlmann-Eltze et al. 2025',
        0.0,
    ),
    'pearson_delta_perturbed_mean': Metric(
        False, '-1 to 1', 'profiles',
        lambda c: pearson_delta(c.truth, c.prediction, c.perturbed_mean),
        'Correlation of the predicted and the true difference from the mean of the training perturbations. It '
        'rewards only what is special to a perturbation.',
        'Systema (Vinas Torne et al. 2025)',
        0.0,
    ),
    'weighted_mse': Metric(
        True, '0 or more', 'profiles',
        lambda c: weighted_mse(c.truth, c.prediction, c.weight),
        'Mean squared error in which a readout weighs by how clearly it sets the perturbation apart from the rest of '
        'its context.',
        'Mejia et al. 2025',
        needs='weight',
    ),
    'weighted_r2_delta': Metric(
        False, 'at most 1', 'profiles',
        lambda c: weighted_r2_delta(c.truth, c.prediction, c.perturbed_mean, c.weight),
        'Share of the difference from the mean of the training perturbations that is explained, with the same '
        'weights; 1 is perfect.',
        'Mejia et al. 2025',
        needs='weight',
    ),
    'pds_l1': Metric(
        False, '0 to 1', 'perturbations',
        l1,
        'Perturbation discrimination by absolute difference: the share of the other held-out perturbations of the '
        'context whose truth is farther from the prediction than its own; 0.5 is chance. The genes that are perturbed '
        'in any of these profiles are left out of all of them.',
        'cell-eval2 (Arc Institute)',
    ),
    'pds_l2': Metric(
        False, '0 to 1', 'perturbations',
        l2,
        'The same by Euclidean distance.',
        'cell-eval2 (Arc Institute)',
    ),
    'pds_cosine': Metric(
        False, '0 to 1', 'perturbations',
        cosine,
        'The same by the cosine of the changes from control.',
        'cell-eval2 (Arc Institute)',
    ),
    'des': Metric(
        False, '0 to 1', 'profiles',
        lambda c: de_overlap(c.truth, c.prediction, c.control, c.p_value),
        'Differential expression overlap: of the N readouts that truly respond (false discovery rate 5%), the share '
        'among the N that the prediction moves most.',
        'cell-eval (Arc Institute)',
        needs='p_value',
    ),
}  # fmt: skip
