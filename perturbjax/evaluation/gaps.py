"""Where a model has no answer, as far as the predictions show it."""

import anndata
import numpy as np

from perturbjax.evaluation.metrics.discrimination import perturbed_readouts


def where_silent(predictions: anndata.AnnData) -> dict[str, str]:
    """Says for each model what sets the profiles that it does not predict apart, by model.

    A sentence is given only if it holds for all profiles without a prediction and for none of the others, so it is
    seen and not guessed. Models that predict something of every profile, and those of which nothing of the kind
    holds, are left out.

    Args:
      predictions: as a run writes them, with the layers control and perturbed_mean.
    """
    unknown = {name: np.isnan(predictions.layers[name]).all(axis=1) for name in ('control', 'perturbed_mean')}
    own = perturbed_readouts(predictions.obs['perturbation'].astype(str), predictions.var_names)
    traits = {
        'have a context without control': unknown['control'],
        'have a context without a training perturbation': unknown['perturbed_mean'],
        'are of perturbations whose target is no readout (linear, for one, knows them as readouts)': ~own.any(axis=1),
    }
    measured = ~np.isnan(predictions.layers['truth']).all(axis=1)
    sentences = {}
    for model in map(str, predictions.uns['models']):
        silent = np.isnan(predictions.layers[model]).all(axis=1)
        for words, trait in traits.items():
            if (silent & measured).any() and (silent == trait)[measured].all():
                sentences[model] = f'The {(silent & measured).sum():,} profiles that it does not predict {words}.'
                break
    return sentences
