"""One scale for every metric: 0 knows nothing of the perturbation, 1 repeats the experiment.

The anchored score of a model is s = (u - b) / (r - b), with u the metric of the model, b that of the mean of the
training perturbations in the context, and r that of the technical duplicate. All three predict the first half of
each perturbation's rows. The score is not clipped: below 0 a model does harm; above 1 it is nearer to the first half
than the second half is, which a model can be, because half of the rows are a noisy prediction. Where nothing has
replicates, r is a perfect prediction of the whole profile. Source: Mejia et al. 2025; Miller et al. 2025.
"""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.calibration import DUPLICATE, with_chance
from perturbjax.evaluation.controls import PERMUTED
from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.scores import BASELINE, WHOLE, Compared, compare
from perturbjax.evaluation.statistics import LEAST_CLUSTERS, bootstrap, interval
from perturbjax.evaluation.summary import NEARLY_ALL, at_once, coverage_of, estimates, number_of_clusters, sums_of

REPEAT, PERFECT = 'repeat', 'perfect'


def anchored(
    predictions: anndata.AnnData,
    compared: Compared,
    halves: Compared | None,
    calibrated: pd.Series,
    seed: int = 0,
    bootstrap_samples: int = 2000,
) -> pd.DataFrame:
    """The anchored score of every model and metric.

    Args:
      predictions: as a run writes them, with permuted labels.
      compared: the models compared with the truth.
      halves: the controls and the same models compared with the first half, see `calibration.compare_halves`;
        None where nothing has replicates.
      calibrated: by metric, whether it is calibrated; only then a repeat is an anchor. Not looked at without halves.
      seed: seed of the bootstrap.
      bootstrap_samples: number of bootstrap samples.

    Returns:
      Columns model, metric; `anchored`, `anchored_low` and `anchored_high`, NaN for a model with gaps, for fewer than
      `LEAST_CLUSTERS` perturbations, and where the metric does not tell the anchors apart; `anchor`, which is
      `REPEAT` or `PERFECT`.
    """
    anchor = PERFECT if halves is None else REPEAT
    beside = _beside_negative(predictions, compared) if halves is None else halves
    first, metrics = len(beside.models) - len(compared.models), list(compared.metrics)
    perfect = np.array([ALL_METRICS[name].perfect for name in metrics])

    def statistic(sums: dict[str, np.ndarray]) -> np.ndarray:
        values = estimates(sums, metrics)['value']
        zero = values[..., [0], :]
        one = values[..., [DUPLICATE], :] if anchor == REPEAT else perfect
        return np.where(one == zero, np.nan, (values[..., first:, :] - zero) / (one - zero))

    sums = sums_of(beside)
    clusters = number_of_clusters(sums, metrics)[first:, WHOLE]
    low, high = interval(bootstrap(statistic, sums, seed, bootstrap_samples), clusters)
    known = (coverage_of(compared) >= NEARLY_ALL)[:, None] & (clusters >= LEAST_CLUSTERS)
    if anchor == REPEAT:
        known &= calibrated.reindex(metrics).fillna(False).to_numpy(bool)
    names = pd.MultiIndex.from_product([compared.models, metrics], names=['model', 'metric'])
    parts = {'anchored': at_once(statistic, sums), 'anchored_low': low, 'anchored_high': high}
    table = pd.DataFrame({name: np.where(known, each, np.nan).ravel() for name, each in parts.items()}, index=names)
    table['anchor'] = anchor
    return table.reset_index()


def _beside_negative(predictions: anndata.AnnData, compared: Compared) -> Compared:
    """The negative, the permuted labels and all models, compared with the truth."""
    layers = {name: predictions.layers[name] for name in predictions.layers if name not in compared.models}
    layers[BASELINE] = predictions.layers['perturbed_mean']
    uns = {'models': [BASELINE], 'scale': predictions.uns['scale']}
    alone = anndata.AnnData(obs=predictions.obs, var=predictions.var, layers=layers, uns=uns)
    negative = compare(alone, metrics=compared.metrics)
    permuted = compared.models.index(PERMUTED) if PERMUTED in compared.models else None

    def joined(negative: np.ndarray, models: np.ndarray) -> np.ndarray:
        chance = np.full_like(negative, np.nan) if permuted is None else models[:, [permuted]]
        return np.concatenate([negative, chance, models], axis=1)

    values, moments = joined(negative.values, compared.values), joined(negative.moments, compared.moments)
    together = compared._replace(values=values, moments=moments, models=['negative', PERMUTED, *compared.models])
    return with_chance(together, ~np.isnan(compared.values[:, :, WHOLE]).all(axis=1))
