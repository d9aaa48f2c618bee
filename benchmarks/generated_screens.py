"""What the LPM benchmarks share: generated screens, and the released recipes."""

from typing import Any, NamedTuple

import numpy as np

from perturbjax.models import Model, lpm_released
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training.settings import TrainingSettings


class Recipe(NamedTuple):
    """How an LPM is made and trained."""

    embedding_dim: int
    hidden_dims: tuple[int, ...]
    dropout: float
    batch_size: int
    learning_rate: float
    lr_decay: float


# The released recipes, and a small one for measurements that do not depend on the widths.
RECIPES = {
    'replogle': Recipe(32, (512, 512), 0.0, 5000, 0.002, 0.99),
    'lincs': Recipe(128, (256, 256), 0.1, 1000, 0.002, 0.97),
    'narrow': Recipe(8, (16,), 0.0, 5000, 0.002, 0.99),
}
# Of `gated`: programmes, and the standard deviation of the noise beside the truth's of about 1.
_PROGRAMMES, _NOISE = 8, 0.5


def generated(contexts: int, perturbations: int, readouts: int, rank: int = 8, seed: int = 0) -> np.ndarray:
    """Values `[C, P, M]` of unit variance: a low-rank product, weighted differently in each context, plus noise."""
    rng = np.random.default_rng(seed)
    left, right = (rng.normal(size=(size, rank)).astype(np.float32) for size in (perturbations, readouts))
    gain = 1 + 0.5 * rng.normal(size=(contexts, 1, rank)).astype(np.float32)
    values = np.matmul(left * gain, right.T) / np.float32(rank**0.5)
    values += 0.5 * rng.standard_normal(values.shape, np.float32)
    return values / values.std()


def gated(
    contexts: int, perturbations: int, readouts: int, latent: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Values `[C, P, M]` of unit variance in which contexts answer by thresholds of their own; and the same truth
    without its noise.

    A perturbation is a point of a few coordinates. A context turns it into the activity of its programmes,
    tanh(W_c z + b_c): half of W_c is shared by all contexts, W_c and b_c are otherwise its own. A readout is a sum of
    programmes. So what a perturbation does in one context follows from what it does in another, but not by a sum or
    a factor: a rule that adds effects gets a part of it, and only a function of the whole profile gets the rest.
    """
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(perturbations, latent))
    shared, own = rng.normal(size=(latent, _PROGRAMMES)), rng.normal(size=(contexts, latent, _PROGRAMMES))
    threshold = rng.normal(size=(contexts, 1, _PROGRAMMES))
    activity = np.tanh(np.matmul(points, shared + own) / latent**0.5 + threshold)
    truth = np.matmul(activity, rng.normal(size=(_PROGRAMMES, readouts))).astype(np.float32)
    truth /= truth.std()
    values = truth + np.float32(_NOISE) * rng.standard_normal(truth.shape, np.float32)
    return values / values.std(), truth / values.std()


def compendium_of(values: np.ndarray) -> Compendium:
    """The values `[C, P, M]` as one screen; profiles of which nothing is measured (NaN) are left out."""
    contexts, perturbations, readouts = values.shape
    measured = ~np.isnan(values).all(axis=2).ravel()
    rows = Measurements(
        name='generated',
        values=values.reshape(-1, readouts)[measured],
        context=np.repeat([f'c{i}' for i in range(contexts)], perturbations).astype(object)[measured],
        perturbation=np.tile([f'p{i}' for i in range(perturbations)], contexts).astype(object)[measured],
        readout=np.array([f'r{i}' for i in range(readouts)], object),
    )
    return assemble([rows], ['z-score'])


def model_of(recipe: str, matmul: str = 'float32') -> Model:
    own = RECIPES[recipe]
    return lpm_released(own.embedding_dim, own.hidden_dims, own.dropout, matmul_precision=matmul)


def settings_of(recipe: str, block: str = '1x1', **others: Any) -> TrainingSettings:
    """The recipe's training settings. The block is given as text, such as `10x10`; `others` override the recipe."""
    _, _, _, batch_size, rate, decay = RECIPES[recipe]
    own = {'learning_rate': rate, 'lr_decay': decay, 'batch_size': batch_size}
    return TrainingSettings(**own | {'block': tuple(map(int, block.split('x')))} | others)
