"""Controls that keep scores honest: permuted labels, and the check for collapsed predictions."""

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

PERMUTED = 'permuted_labels'


def permuted_labels(predictions: anndata.AnnData, seed: int = 0) -> np.ndarray:
    """For each profile, the truth of another held-out perturbation of the same split, screen and context, `[N, M]`.

    It tells what a real profile under the wrong name scores. NaN where no other perturbation is held out.
    """
    rng = np.random.default_rng(seed)
    truth = np.asarray(predictions.layers['truth'])
    permuted = np.full_like(truth, np.nan)
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
    pairs = [np.asarray(pairwise_pearson(jnp.asarray(block)))[np.triu_indices(len(block), 1)] for block in blocks]
    known = np.concatenate(pairs)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else np.nan


@jax.jit
def pairwise_pearson(x: jax.Array) -> jax.Array:
    """Correlations `[N, N]` between rows of `x [N, M]`, over what both measured; NaN if one of them is constant."""
    measured = ~jnp.isnan(x)
    weights = measured.astype(x.dtype)
    # Subtract means first: float32 would lose a small spread around a large mean.
    mean = jnp.where(measured, x, 0).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    centred = jnp.where(measured, x - mean, 0)

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.matmul(a, b.T, precision='highest')

    size = product(weights, weights)
    total, squares = product(centred, weights), product(centred**2, weights)
    variance = squares - total**2 / size
    covariance = product(centred, centred) - total * total.T / size
    spread = jnp.where((size > 1) & (variance > 1e-6 * squares), jnp.sqrt(jnp.abs(variance)), jnp.nan)
    return jnp.clip(covariance / (spread * spread.T), -1, 1)
