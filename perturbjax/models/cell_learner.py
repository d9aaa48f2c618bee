"""What the trainer needs of a model that learns from the cells of one screen."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, Key

from perturbjax.models.cells import Dealt, Keys, SparseRows
from perturbjax.models.model import Masks, Params
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

State = Any  # pytree: what training changes
Tables = Any  # pytree of arrays: what a step needs beside the values of its cells
Plan = Any  # pytree of arrays [steps, ...]: what a step goes by, such as its learning rate
Carry = Any  # pytree: what is summed up over validation cells


class Drawn(NamedTuple):
    """The cells of one step, or of one look.

    Attributes:
      rows: the values of these cells at least, and of their partners.
      numbers: which cells they are.
      weight: 0 for what only fills up.
    """

    rows: SparseRows
    numbers: Int[Array, ' B']
    weight: Float[Array, ' B']


class StepLoss(NamedTuple):
    """The loss of a step, and how much it counts in that of the epoch: 0 where a step has none to show."""

    loss: Float[jax.Array, '']
    weight: Float[jax.Array, '']


@runtime_checkable
class Rule(Protocol):
    """How a model learns from cells: pure functions, which run inside `jit` over all devices at once.

    Rules that are equal share a compilation. No function needs to know of devices: the values of a step are divided
    among them along its cells, and what is computed from these follows.
    """

    def start(self, key: Key[jax.Array, ''], tables: Tables) -> State:
        """The state before the first step."""

    def step(
        self, state: State, tables: Tables, drawn: Drawn, plan: Plan, key: Key[jax.Array, '']
    ) -> tuple[State, StepLoss]:
        """The state after a step; the key is that of the step."""

    def kept(self, state: State) -> Any:
        """What is kept of the best epoch: the state without what only training needs."""

    def first_look(self, tables: Tables) -> Carry:
        """What nothing adds up to."""

    def look(self, carry: Carry, state: State, tables: Tables, drawn: Drawn, key: Key[jax.Array, '']) -> Carry:
        """What is summed up over a batch of validation cells."""

    def error(self, carry: Carry, tables: Tables) -> Float[jax.Array, '']:
        """The error that epochs are chosen by, once all batches are looked at; it is to be low."""

    def __hash__(self) -> int: ...


class Course(NamedTuple):
    """The cells of a split and what is to be done with them.

    Attributes:
      rule: how the model learns.
      values: the cells that take part, on the scale that the rule wants; a cell's number is its row.
      partner: of each cell, the number of another one that a step needs too; None for no such cells.
      training: the numbers of the cells that train.
      batch_size: cells of a step.
      fewest: a last batch of an epoch that has fewer cells is left out; any other is filled up.
      validation: batches of cells that epochs are chosen by; None for none.
      looks: `epoch -> whether` validation cells are looked at after it, counted from 0; after the last one always.
      tables: see `Tables`.
      plan: `(epoch, steps) -> plan`.
      keys: of the seed.
      finish: `kept -> params`, nested dicts of arrays; on the host.
    """

    rule: Rule
    values: scipy.sparse.csr_matrix
    partner: Int[np.ndarray, ' n'] | None
    training: Int[np.ndarray, ' a']
    batch_size: int
    fewest: int
    validation: Dealt | None
    tables: Tables
    plan: Callable[[int, int], Plan]
    keys: Keys
    finish: Callable[[Any], Params]
    looks: Callable[[int], bool] = lambda epoch: True


class CellLearner(NamedTuple):
    """A model that learns from cells.

    Attributes:
      prepare: `(compendium, training, validation, seed) -> Course`. Runs once per split on the host; the masks are
        numpy's. Raises InputError where the training cells are not enough.
      epochs: at most.
      patience: training stops after so many epochs without a lower error; 0 is never.
      recipe: names and values of training settings of the model's own, which a config may replace.
    """

    prepare: Callable[[Compendium, Masks, Masks, int], Course]
    epochs: int
    patience: int = 0
    recipe: tuple[tuple[str, Any], ...] = ()


# What of `config.training` a model of cells goes by; all else is a setting of the model itself.
SETTINGS = ('data_chunks', 'checkpoint_every', 'tensorboard', 'wandb')
