"""Models that give nearly one answer for all perturbations, as the mean of the training profiles does."""

import anndata
import numpy as np

from perturbjax.evaluation.row_blocks import row_blocks
from perturbjax.evaluation.summary import BASELINES, CONTROLS

# Predictions with less than this share of the truths' variance are told: a thirtieth of their spread.
HARDLY = 1e-3


def nearly_one_answer(predictions: anndata.AnnData) -> list[str]:
    """A sentence for each model, beside the simple rules, whose predictions hardly differ between perturbations.

    Args:
      predictions: as a run writes them.
    """
    models = [str(name) for name in predictions.uns['models'] if name not in BASELINES + CONTROLS]
    shares = {model: variance_share(predictions, model) for model in models}
    return [
        f'{model} gives nearly one answer for every perturbation: the variance of its predictions is {share:.2g} times '
        'that of the truths, so it says no more than a mean of profiles. Embeddings that hardly vary lead to this.'
        for model, share in shares.items()
        if share < HARDLY
    ]


def variance_share(predictions: anndata.AnnData, model: str) -> float:
    """The variance of a model's predictions as a share of that of the truths, over what it predicts.

    Between the perturbations of each split, screen and context. NaN where no two perturbations can be compared.
    """
    truth, predicted = (np.asarray(predictions.layers[name]) for name in ('truth', model))
    found = expected = 0.0
    for rows in predictions.obs.groupby(['split', 'screen', 'context'], observed=True).indices.values():
        known = ~np.isnan(truth[rows]) & ~np.isnan(predicted[rows])
        found += _squares(predicted[rows], known)
        expected += _squares(truth[rows], known)
    return found / expected if expected else np.nan


def _squares(values: np.ndarray, known: np.ndarray) -> float:
    """The sum of the squared differences from the mean of each column, over what is known; some columns at a time."""
    found = 0.0
    for part in row_blocks(*values.T.shape):
        filled, there = np.where(known[:, part], values[:, part], 0).astype(float), known[:, part]
        mean = filled.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        found += float((np.where(there, filled - mean, 0) ** 2).sum())
    return found
