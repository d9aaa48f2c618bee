"""Scores in which profiles count by their weights, as `screens.weights` computes them from what is held out."""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.metrics.discrimination import perturbed_readouts
from perturbjax.screens.vocabulary import CONTROL
from perturbjax.screens.weights import Profiles, weigh_each

# Where predictions keep the weights of profiles, and by what they were made.
WEIGHT, WEIGHTED_BY = 'weight', 'weighted_by'


def add_weights(predictions: anndata.AnnData, rule: str, field: str = 'weights.scores') -> None:
    """Adds the weights of the held-out profiles, mean 1 in each screen; does nothing if the rule is empty.

    They follow from the held-out profiles themselves, never from a prediction.

    Args:
      predictions: as a run writes them.
      rule: one of `weights.RULES`, or empty.
      field: where the config asks for it, for messages.

    Raises:
      InputError: a screen does not have what the rule needs.
    """
    if not rule:
        return
    screens = predictions.obs['screen'].astype(str).to_numpy()
    rows = [np.flatnonzero(screens == name) for name in np.unique(screens)]
    profiles = [_profiles(predictions[each]) for each in rows]
    known = (predictions.obs['perturbation'].astype(str) != CONTROL).to_numpy()
    weights = weigh_each(rule, profiles, [known[each] for each in rows], field)
    weight = np.empty(len(screens))
    for each, own in zip(rows, weights, strict=True):
        weight[each] = np.where(known[each], own, 1)
    predictions.obs[WEIGHT], predictions.uns[WEIGHTED_BY] = weight, rule


def _profiles(block: anndata.AnnData) -> Profiles:
    """What is known of the profiles of one screen; files of older versions say nothing of the rows behind them."""
    own = perturbed_readouts(block.obs['perturbation'].astype(str), block.var_names)
    truth = np.asarray(block.layers['truth'], float)
    change = truth - np.asarray(block.layers['control'], float)
    return Profiles(
        name=str(block.obs['screen'].iloc[0]),
        values=truth,
        context=pd.factorize(block.obs['context'].astype(str))[0],
        cells=np.asarray(block.obs['cells'], float) if 'cells' in block.obs else None,
        variance=np.asarray(block.layers['variance'], float) if 'variance' in block.layers else None,
        on_target=np.where(own, change, np.nan),
    )


def weights_of(predictions: anndata.AnnData) -> np.ndarray | None:
    """The weights `[N]` that `add_weights` added; None where profiles count alike."""
    return np.asarray(predictions.obs[WEIGHT], float) if WEIGHTED_BY in predictions.uns else None


def note_on_weights(predictions: anndata.AnnData) -> list[str]:
    """A sentence that says by what scores are weighted, and which are not; none where profiles count alike."""
    weight = weights_of(predictions)
    if weight is None:
        return []
    low, high = np.quantile(weight, (0.1, 0.9))
    return [
        f'Scores are weighted by {predictions.uns[WEIGHTED_BY]}: values, ratios, differences, anchored scores and '
        f'their intervals count profiles by weights with the mean 1, eight in ten from {low:.2f} to {high:.2f}. '
        'Everything else, the paired test and scores.csv among it, counts profiles alike.'
    ]
