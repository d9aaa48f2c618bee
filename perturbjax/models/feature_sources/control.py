"""Vectors of a run's own contexts: where their control profiles lie on the main axes of those that train.

The control of a held-out context is known, and is no answer to what is asked there. Perturbed profiles play no part.
"""

import numpy as np
from jaxtyping import Bool, Float

from perturbjax.errors import InputError
from perturbjax.models.feature_sources.main_axes import longest_axes
from perturbjax.models.model import Masks
from perturbjax.screens.screen import Compendium


def control_places(compendium: Compendium, training: Masks) -> Float[np.ndarray, 'C R']:
    """Where each context's control lies on at most `main_axes.MOST_AXES` axes of those of contexts that train.

    A readout that a context was not measured in counts as its mean over the contexts that train.

    Returns:
      NaN for a context without control, or with none of the readouts of a context that trains.

    Raises:
      InputError: contexts that train have no control, or all the same.
    """
    profiles = control_profiles(compendium, training)
    used = contexts_that_train(compendium, training) & ~np.isnan(profiles).all(axis=1)
    profiles = profiles[:, ~np.isnan(profiles[used]).all(axis=0)]
    # Empty where no context is used.
    mean = np.nanmean(profiles[used], axis=0) if used.any() else np.zeros(profiles.shape[1])
    left = np.nan_to_num(profiles - mean)
    axes, squares = longest_axes(left[used] @ left[used].T)
    if not len(squares):
        raise InputError(
            f"features.context: 'control' says nothing here: {used.sum()} contexts that train have a control profile, "
            'and they do not differ; take this source out.'
        )
    places = left @ (left[used].T @ (axes / np.sqrt(squares)))
    return np.where(np.isnan(profiles).all(axis=1)[:, None], np.nan, places)


def control_profiles(compendium: Compendium, training: Masks) -> Float[np.ndarray, 'C M']:
    """The mean over screens of each context's measured control, of profiles in the masks; NaN where not measured.

    It is not that of `baselines.control_sums`: a control that the scale defines as 0 says nothing of a context.
    """
    shape = len(compendium.vocabulary.contexts), len(compendium.vocabulary.readouts)
    total, number = np.zeros(shape), np.zeros(shape)
    for screen, mask in zip(compendium.screens, training, strict=True):
        rows = np.flatnonzero(np.asarray(mask) & screen.is_control)
        at = np.ix_(screen.context[rows], screen.readout)
        np.add.at(total, at, np.nan_to_num(screen.values[rows]))
        np.add.at(number, at, ~np.isnan(screen.values[rows]))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def contexts_that_train(compendium: Compendium, training: Masks) -> Bool[np.ndarray, ' C']:
    """Which contexts have a training profile that is not control."""
    found = np.zeros(len(compendium.vocabulary.contexts), bool)
    for screen, mask in zip(compendium.screens, training, strict=True):
        found[screen.context[np.asarray(mask) & ~screen.is_control]] = True
    return found
