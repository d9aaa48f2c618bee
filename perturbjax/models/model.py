"""The protocol of a model: a few pure functions, the question they answer, and what the trainer needs of a learned one.

A closed-form model has `fit`. A learned model has a `learner` instead, which `training` fits by gradient descent; one
that learns from cells a `cell_learner`. Everything else is the same for all, so no other code asks which kind a model
is.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Bool, Float, Int, Key, UInt

from perturbjax.models.dropout import Noise
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

if TYPE_CHECKING:
    from perturbjax.models.cell_learner import CellLearner

Params = Any  # pytree: what fitting gives and predicting takes
Masks = tuple[Bool[Array, ' _N'], ...]  # which profiles of each screen
Weights = Any  # pytree: what gradient descent changes
Statistics = Any  # pytree: what training carries along without a gradient, such as batch statistics
Constants = Mapping[str, Any]  # nested dicts of arrays that a model takes from the training data as they are

# The axis of devices: a loss of observations may average over it, as flax.linen.BatchNorm(axis_name=...) does; cells
# are divided along it.
DEVICE_AXIS = 'devices'

# Values predicted at once, on a CPU and on an accelerator, by models that go through their tables once for every tile.
_LARGE_TILES = (2**18, 2**18)


class Query(NamedTuple):
    """Q profiles to predict over one panel of M readouts, as ids of the vocabulary.

    Attributes:
      context: of each profile.
      perturbation: the parts of each profile's perturbation, padded with -1.
      readout: the panel.
    """

    context: Int[Array, ' Q']
    perturbation: Int[Array, 'Q K']
    readout: Int[Array, ' M']


class Batch(NamedTuple):
    """The observations of one training step: n blocks of p profiles by r readouts.

    The three ids broadcast against each other. With blocks of 1 x 1 a batch is n single observations.

    Attributes:
      context: ids.
      perturbation: ids, padded with -1.
      readout: ids.
      value: 0 where the weight is 0.
      weight: that of its profile for an observation, 1 unless the run weighs profiles; 0 for a missing value and for
        what only fills a block up.
      position: each block's position in the order of the epoch, whichever device holds it.
    """

    context: Int[jax.Array, 'n p 1']
    perturbation: Int[jax.Array, 'n p 1 K']
    readout: Int[jax.Array, 'n 1 r']
    value: Float[jax.Array, 'n p r']
    weight: Float[jax.Array, 'n p r']
    position: UInt[Array, ' n']


class Target(NamedTuple):
    """What a learner is trained on instead of the values themselves.

    Attributes:
      compendium: the screens with other values, such as what a rule leaves over.
      left_out: for each screen a bit mask of the folds that leave a profile out of training; None without folds.
      kept: what `finish` needs.
    """

    compendium: Compendium
    left_out: tuple[Int[np.ndarray, ' _N'], ...] | None
    kept: Any


def _as_they_are(compendium: Compendium, training: Masks) -> Target:
    return Target(compendium, None, None)


def _as_trained(fitted: 'Fitted', target: Target) -> 'Fitted':
    return fitted


class Learner(NamedTuple):
    """What the trainer needs of a model that is fitted by gradient descent.

    Every function is pure. `loss` and `error` run inside `jit`, on one device's share of a batch.

    Attributes:
      prepare: `(compendium, training) -> constants`. Runs once per split on the host, with numpy.
      init: `(key, constants) -> (weights, statistics)`; `statistics` is `{}` where there are none.
      loss: `(weights, statistics, constants, batch, noise) -> (total, statistics)`. The total is the sum of
        the losses of the batch's observations, each times its weight, so that shares of a batch add up; the trainer
        divides it by the sum of the weights. `noise` is None where no dropout is asked for.
      error: `(weights, statistics, constants, batch) -> total`: the sum of squared errors, without dropout.
        Validation compares it.
      optimizer: turns a gradient into a direction; the weights then move by
        `-learning_rate * (direction + weight_decay * weights)`. None is Adam, which makes that AdamW.
      dropout: the rate, unless `training.sweep` tries others.
      row_tables: names of tables in the weights, each also the name of the `Batch` field whose ids are its rows:
        `perturbation`, `readout`. Where a step touches few rows of such a table, only those are given to `loss`,
        with ids that count among them. Only with `optimizer=None`.
      target: `(compendium, training) -> Target`: what is learnt, if not the values. Runs once per split.
      finish: `(fitted, target) -> fitted`: adds to the constants what follows from the trained weights.
      added: `compendium -> constants`: the structure of what `finish` adds, traced and not run; None for nothing.
      out_of_fold: `(fitted, target) -> predictions [N, U]` of the profiles of each fold, by the members that have
        not seen it, over all readouts; NaN for profiles in no fold. None without folds.
      unseen_error: `(fitted, target) -> error`: of the profiles of each fold, by the members that have not seen it.
        The trainer keeps the epoch whose error is lowest; NaN where no profile is in a fold. None leaves the choice
        to validation.
      num_folds: each seed is trained once for each fold, without the profiles that the fold leaves out.
      table_decay: how many times the weight decay applies to the tables of embeddings.
      recipe: names and values of training settings of the model's own, which a config may replace.
    """

    prepare: Callable[[Compendium, Masks], Constants]
    init: Callable[[Key[jax.Array, ''], Constants], tuple[Weights, Statistics]]
    loss: Callable[[Weights, Statistics, Constants, Batch, Noise | None], tuple[Float[jax.Array, ''], Statistics]]
    error: Callable[[Weights, Statistics, Constants, Batch], Float[jax.Array, '']]
    optimizer: optax.GradientTransformation | None = None
    dropout: float = 0.0
    row_tables: tuple[str, ...] = ()
    target: Callable[[Compendium, Masks], Target] = _as_they_are
    finish: Callable[['Fitted', Target], 'Fitted'] = _as_trained
    added: Callable[[Compendium], Constants] | None = None
    out_of_fold: Callable[['Fitted', Target], Float[np.ndarray, 'N U']] | None = None
    unseen_error: Callable[['Fitted', Target], float] | None = None
    num_folds: int = 0
    table_decay: float = 1.0
    recipe: tuple[tuple[str, Any], ...] = ()


class Fitted(NamedTuple):
    """The params of a learned model: S members, which differ in their seed and in the fold that they left out.

    Attributes:
      weights, statistics: each leaf `[S, ...]`.
      constants: what the learner prepared, the same for all members.
    """

    weights: Weights
    statistics: Statistics
    constants: Constants

    @property
    def num_members(self) -> int:
        """S."""
        return len(jax.tree.leaves(self.weights)[0])


def _one_member(params: Params) -> int:
    return 1


class Model(NamedTuple):
    """A model: one of `fit`, `learner` and `cell_learner`, and `predict`.

    Attributes:
      fit: `(compendium, training) -> params`; `training` is a mask of each screen's profiles and
        not a slice, so that it can be vmapped: all splits are fitted in one call. None for a learned model.
      predict: `(params, query) -> predictions`, NaN where the model has no answer. An answer for one profile
        depends on no other profile of the query.
      learner: what fits a learned model, whose params are then `Fitted`.
      spread: `(params, query) -> spread`, the standard deviation over the members; None without members.
      num_members: `params -> S`.
      refit: `(params, compendium, training) -> params`: fits again on other training profiles, and keeps what was
        chosen, such as penalties. None where `fit` chooses nothing.
      cell_learner: what fits a model that learns from cells; its params are nested dicts of arrays.
      check: raises InputError where the model cannot learn from these data; None where it always can.
      by_features: `params -> {axis: [names]}`: which contexts, perturbations and readouts it knows by features alone,
        because no training profile had them. None for a model that marks none.
      tile_values: how many values to predict at once, on a CPU and on an accelerator. Smaller where the
        model holds many activations for each value.
    """

    fit: Callable[[Compendium, Masks], Params] | None
    predict: Callable[[Params, Query], Float[jax.Array, 'Q M']]
    learner: Learner | None = None
    spread: Callable[[Params, Query], Float[jax.Array, 'Q M']] | None = None
    num_members: Callable[[Params], int] = _one_member
    tile_values: tuple[int, int] = _LARGE_TILES
    refit: Callable[[Params, Compendium, Masks], Params] | None = None
    cell_learner: 'CellLearner | None' = None
    check: Callable[[Compendium], None] | None = None
    by_features: Callable[[Params], Mapping[str, Bool[np.ndarray, ' _names']]] | None = None


def closed_form_of(model: Model) -> Callable[[Compendium, Masks], Params]:
    """The model's `fit`; raises TypeError for a learned model."""
    if model.fit is None:
        raise TypeError('a learned model has no closed form: it is fitted by training.fit.fit')
    return model.fit


def spread_of(model: Model) -> Callable[[Params, Query], Float[jax.Array, 'Q M']]:
    """The model's `spread`; raises TypeError for a model without members."""
    if model.spread is None:
        raise TypeError('a model without members has no spread')
    return model.spread
