"""Whole grids of predictions, as the benchmarks make them: params with random weights, and two ways to predict."""

import functools
import pathlib

import jax
import numpy as np
from etils import epath
from generated_screens import model_of

from perturbjax.models.model import Fitted
from perturbjax.models.training_counts import AXES
from perturbjax.prediction.full_grid import write_grid
from perturbjax.prediction.stream import Predictor, stream
from perturbjax.screens.vocabulary import Vocabulary

Sizes = tuple[int, int, int]


def vocabulary_of(sizes: Sizes) -> Vocabulary:
    contexts, perturbations, readouts = (tuple(f'{axis}{i}' for i in range(n)) for axis, n in zip('cpr', sizes))
    return Vocabulary(contexts, ('control', *perturbations[1:]), readouts)


def fitted(recipe: str, vocabulary: Vocabulary) -> Fitted:
    """Params with random weights, of a model that counts as trained on every name."""
    names = zip(AXES, (vocabulary.contexts, vocabulary.perturbations, vocabulary.readouts), strict=True)
    constants = {f'{axis}_counts': np.ones(len(each), np.int32) for axis, each in names}
    weights, statistics = model_of(recipe).learner.init(jax.random.key(0), constants)
    return Fitted(jax.tree.map(lambda each: np.asarray(each)[None], weights), statistics, constants)


# All runs share one model, because predictions are compiled once per model.
_model = functools.cache(model_of)


def streamed(recipe: str, matmul: str, sizes: Sizes, params: Fitted) -> np.ndarray:
    """The grid's values `[C * P, M]`, from `stream`."""
    contexts, perturbations, readouts = sizes
    values = np.empty((contexts * perturbations, readouts), np.float32)

    def ids(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return rows // perturbations, rows[:, None] % perturbations

    model = _model(recipe, matmul)
    predictor = Predictor(model.predict, params, model.tile_values)
    for where, part in stream(predictor, ids, len(values), np.arange(readouts)):
        values[where] = part
    return values


def written(
    recipe: str, matmul: str, sizes: Sizes, params: Fitted, folder: str, first: int | None = None
) -> pathlib.Path:
    """Writes the grid of all contexts, or of the first ones, to a file and returns its path."""
    path, vocabulary = pathlib.Path(folder) / 'grid.h5ad', vocabulary_of(sizes)
    models = {'lpm': (_model(recipe, matmul), lambda: params)}
    write_grid(epath.Path(path), vocabulary, models, {'generated': 'z-score'}, vocabulary.contexts[:first])
    return path
