"""The layers that a model gives in a file of predictions: its own, and the spread of an ensemble; and which is X."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from perturbjax.models.model import Model, Params
from perturbjax.prediction.stream import Predictor

# The ending of the layer with the standard deviation of the prediction of the layer of that name without it.
SPREAD = '_spread'
# What `uns` calls the name of the layer that X is.
X_LAYER = 'X_layer'


class Layer(NamedTuple):
    """A layer of a file of predictions.

    Attributes:
      label: its name there.
      predictor: gives what to predict with; reads the params when it is called.
    """

    label: str
    predictor: Callable[[], Predictor]


def layers_of(label: str, model: Model, read: Callable[[], Params]) -> Iterator[Layer]:
    """The layer of a model, and `LABEL_spread` where it has several members; `read` gives its params."""
    if model.spread is None:
        yield Layer(label, lambda: Predictor(model.predict, read(), model.tile_values))
        return
    read, spread = functools.cache(read), model.spread
    yield Layer(label, lambda: Predictor(model.predict, read(), model.tile_values))
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
