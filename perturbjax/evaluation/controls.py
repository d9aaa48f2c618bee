"""Controls that keep scores honest: permuted labels, and the check for collapsed predictions."""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.row_blocks import row_blocks
from perturbjax.mapped_layers import not_known

PERMUTED = 'permuted_labels'
# A smaller variance, relative to the squares, is rounding.
_ROUNDING = 1e-6


def permuted_labels(predictions: anndata.AnnData, seed: int = 0) -> np.ndarray:
    """For each profile, the truth of another held-out perturbation of the same split, screen and context, `[N, M]`.

    It tells what a real profile under the wrong name scores. NaN where no other perturbation is held out.
    """
    rng = np.random.default_rng(seed)
    truth = np.asarray(predictions.layers['truth'])
    permuted = not_known(truth.shape, truth.dtype)
    for rows in predictions.obs.groupby(['split', 'screen', 'context'], observed=True).indices.values():
        shuffled = rng.permutation(rows)
        if len(rows) > 1:
            permuted[shuffled] = truth[np.roll(shuffled, 1)]
    return permuted


def add_permuted_labels(predictions: anndata.AnnData, seed: int = 0) -> None:
    """Adds the permuted labels to the predictions as one more model, unless no profile has any."""
    permuted = permuted_labels(predictions, seed)
    if not np.isnan(permuted).all():
        predictions.layers[PERMUTED] = permuted
        models = [str(name) for name in predictions.uns['models'] if name != PERMUTED]
        predictions.uns['models'] = [*models, PERMUTED]


def collapse(predictions: anndata.AnnData) -> pd.DataFrame:
    """Tells whether a model predicts the same for every perturbation; one row for the truth, then one per model.

    `correlation` is the mean Pearson correlation between the changes from control of two different
    perturbations in the same screen, context and split. If it is near 1, the model predicts the same change
    for all. `truth` is the same correlation between the true changes, over the same pairs and readouts; a good
    model is near it. Range [-1, 1]; NaN where no two perturbations can be compared, for example where a model
    predicts no change.
    """
    groups = predictions.obs.groupby(['split', 'screen', 'context'], observed=True).indices.values()
    control, truth = (np.asarray(predictions.layers[name]) for name in ('control', 'truth'))
    rows = []
    for model in ['truth', *map(str, predictions.uns['models'])]:
        change = np.asarray(predictions.layers[model]) - control
        seen = np.where(np.isnan(change), np.nan, truth - control)
        found, expected = (_mean_correlation([each[group] for group in groups]) for each in (change, seen))
        rows.append((model, found, expected if np.isfinite(found) else np.nan))
    return pd.DataFrame(rows, columns=['model', 'correlation', 'truth'])


def _mean_correlation(blocks: list[np.ndarray]) -> float:
    """The mean correlation over all pairs of different rows within each block `[N, M]`."""
    totals, numbers = zip(*map(_pairs, blocks), strict=True)
    return float(sum(totals) / sum(numbers)) if sum(numbers) else np.nan


def _pairs(block: np.ndarray) -> tuple[float, int]:
    """The sum of the correlations over all pairs of rows, and the number of pairs that have one."""
    rows = block[~np.isnan(block).all(axis=1)]
    rows = rows[:, ~np.isnan(rows).all(axis=0)]
    if np.isnan(rows).any():
        pairs = pairwise_pearson(rows)[np.triu_indices(len(rows), 1)]
        return float(np.nansum(pairs)), int(np.isfinite(pairs).sum())
    # Without gaps no pair needs to be looked at: the products of all pairs of unit rows are the square of their sum.
    total, number = np.zeros(rows.shape[1]), 0
    for part in row_blocks(*rows.shape):
        unit = _unit_rows(rows[part].astype(float))
        total, number = total + unit.sum(axis=0), number + len(unit)
    return float((total**2).sum() - number) / 2, number * (number - 1) // 2


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """The rows that vary, less their mean and of length 1."""
    centred = rows - rows.mean(axis=1, keepdims=True) if rows.size else rows
    squares = (centred**2).sum(axis=1)
    varies = squares - centred.sum(axis=1) ** 2 / max(rows.shape[1], 1) > _ROUNDING * squares
    return centred[varies] / np.sqrt(squares[varies])[:, None]


def pairwise_pearson(x: np.ndarray) -> np.ndarray:
    """Correlations `[N, N]` between rows of `x [N, M]`, over what both measured; NaN if one of them is constant."""
    values = np.asarray(x, float)
    measured = ~np.isnan(values)
    weights = measured.astype(float)
    # Subtract means first, so that a small spread around a large mean keeps its digits.
    mean = np.where(measured, values, 0).sum(axis=1, keepdims=True) / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    centred = np.where(measured, values - mean, 0)
    size, total, squares = weights @ weights.T, centred @ weights.T, centred**2 @ weights.T
    with np.errstate(divide='ignore', invalid='ignore'):
        variance = squares - total**2 / size
        covariance = centred @ centred.T - total * total.T / size
        spread = np.where((size > 1) & (variance > _ROUNDING * squares), np.sqrt(np.abs(variance)), np.nan)
        return np.clip(covariance / (spread * spread.T), -1, 1)
