"""Predictions for any number of profiles, in bounded memory and with one compilation."""

from collections.abc import Callable

import jax
import numpy as np
import tqdm

from perturbjax.models.model import Params, Query

VALUES_AT_ONCE = 2**17


def predict_profiles(
    predict: Callable[[Params, Query], jax.Array], params: Params, query: Query, title: str = ''
) -> np.ndarray:
    """`predict` over the Q profiles of a query on the host, float32 `[Q, M]`.

    Profiles are asked for some at a time, in numbers of which there are few; so a jitted `predict`
    compiles once for splits of about one size.
    """
    profiles, readouts = len(query.context), len(query.readout)
    at_once = min(2 ** (profiles - 1).bit_length(), max(1, VALUES_AT_ONCE // readouts))
    params = jax.device_put(params)
    answers = np.empty((profiles, readouts), np.float32)
    for first in tqdm.trange(0, profiles, at_once, desc=title, disable=None, leave=False):
        rows = np.arange(first, min(first + at_once, profiles))
        padded = np.resize(rows, at_once)
        part = query._replace(context=query.context[padded], perturbation=query.perturbation[padded])
        answers[rows] = np.asarray(predict(params, part))[: len(rows)]
    return answers
