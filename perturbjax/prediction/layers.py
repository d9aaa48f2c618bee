"""The layers that a model gives in a file of predictions: its own, and the spread of an ensemble; and which is X."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from perturbjax.models.model import Model, Params, Query
from perturbjax.prediction.stream import Predictor
from perturbjax.screens.vocabulary import PADDING

# The ending of the layer with the standard deviation of the prediction of the layer of that name without it.
SPREAD = '_spread'
# What `uns` calls the name of the layer that X is.
X_LAYER = 'X_layer'
# The ending of the column of obs that says which predictions of the layer without it rest on features alone.
BY_FEATURES = '_by_features'


class Layer(NamedTuple):
    """A layer of a file of predictions.

    Attributes:
      label: its name there.
      predictor: gives what to predict with; reads the params when it is called.
      by_features: gives which names the model knows by features alone; see `Model`. None: it marks none.
    """

    label: str
    predictor: Callable[[], Predictor]
    by_features: Callable[[], Mapping[str, Bool[np.ndarray, ' _names']]] | None = None

    def marks(self, query: Query) -> Bool[np.ndarray, ' Q'] | None:
        """Which profiles are of a context, or a part, that the model knows by features alone; None: it marks none."""
        if self.by_features is None:
            return None
        names = self.by_features()
        parts = np.asarray(query.perturbation)
        is_part = names['perturbation'][np.maximum(parts, 0)] & (parts != PADDING)
        return names['context'][np.asarray(query.context)] | is_part.any(axis=1)


def layers_of(label: str, model: Model, read: Callable[[], Params]) -> Iterator[Layer]:
    """The layer of a model, and `LABEL_spread` where it has several members; `read` gives its params."""
    if model.spread is None:
        yield Layer(label, lambda: Predictor(model.predict, read(), model.tile_values))
        return
    read, spread, marks = functools.cache(read), model.spread, model.by_features
    names = None if marks is None else (lambda: marks(read()))
    yield Layer(label, lambda: Predictor(model.predict, read(), model.tile_values), names)
    if model.num_members(read()) > 1:
        yield Layer(f'{label}{SPREAD}', lambda: Predictor(spread, read(), model.tile_values))


def choose_x(has_gaps: Mapping[str, bool]) -> str:
    """The layer that a file has as X: the last model that predicts everything, or the last one if none does.

    X is what scanpy takes where no layer is named. The models that a config names last are those to be judged.

    Args:
      has_gaps: for each model, in order, whether a value of it is missing; at least one model.
    """
    labels = list(has_gaps)
    return next((label for label in reversed(labels) if not has_gaps[label]), labels[-1])
