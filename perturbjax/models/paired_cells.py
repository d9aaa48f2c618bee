"""What GEARS and scGPT learn from: each cell beside the control cell that it is paired with, once and for all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int, Key

from perturbjax.errors import InputError
from perturbjax.models.cell_learner import Course, Plan, Rule, Tables
from perturbjax.models.cells import Keys, deal
from perturbjax.models.model import Masks, Params
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Screen
from perturbjax.screens.vocabulary import CONTROL_ID


class PairedCells(NamedTuple):
    """What is known of the cells that take part beside their values, in N conditions (profiles of the screen).

    Attributes:
      partner: the control cell of each; a control cell is its own.
      condition: of each cell, a row of the tables below.
      parts: the nodes of each condition's perturbation, padded with -1.
      genes: the readouts that count in it: those whose mean is not 0; all of control.
      context: of each condition, a row of `control`.
      control: the mean control cell of each context; 0 where it has none.
    """

    partner: Int[Array, ' n']
    condition: Int[Array, ' n']
    parts: Int[Array, 'N K']
    genes: Bool[Array, 'N G']
    context: Int[Array, ' N']
    control: Float[Array, 'C G']


class Chosen(NamedTuple):
    """Which cells of a screen train and validate, by their numbers; and those of control that train.

    Attributes:
      training, validation, control: numbers of cells.
      of_graph: the training cells that tell what is expressed together: those of control and of single perturbations.
      outside: which profiles take no part, because the graph lacks a part of their perturbation.
    """

    training: Int[np.ndarray, ' a']
    validation: Int[np.ndarray, ' b']
    control: Int[np.ndarray, ' c']
    of_graph: Int[np.ndarray, ' d']
    outside: Bool[np.ndarray, ' N']


def choose_cells(screen: Screen, parts: Int[np.ndarray, 'N K'], training: Masks, validation: Masks) -> Chosen:
    """The cells of the training and the validation profiles whose parts are all in the graph.

    No cell of any other profile is looked at.

    Args:
      screen: with cells.
      parts: the nodes of each profile's perturbation; -1 is padding, -2 a part without a node.
      training, validation: which profiles, of this screen alone.
    """
    cells, (trains,), (validates,) = screen.kept, training, validation
    assert cells is not None
    trains, validates = np.asarray(trains), np.asarray(validates)
    controlled = np.isin(screen.context, screen.context[trains & screen.is_control])
    outside = (parts == -2).any(axis=1)
    used = ~outside & controlled
    few_parts = trains & (screen.order <= 1)
    return Chosen(
        cells.of(trains & used),
        cells.of(validates & used & ~screen.is_control),
        cells.of(trains & screen.is_control),
        cells.of(few_parts & used),
        outside,
    )


def nodes_of(screen: Screen, node: Int[np.ndarray, ' P']) -> Int[np.ndarray, 'N K']:
    """The nodes of each profile's parts: -1 for padding and control, -2 for a part that the graph lacks."""
    parts = screen.perturbation
    return np.where(parts <= CONTROL_ID, -1, np.where(node[parts] < 0, -2, node[parts])).astype(np.int32)


def pair_cells(
    screen: Screen, parts: Int[np.ndarray, 'N K'], chosen: Chosen, key: Key[jax.Array, '']
) -> tuple[scipy.sparse.csr_matrix, PairedCells, Chosen]:
    """The cells, each paired once and for all, by its number, with a random training control cell of its context.

    Returns the values of the cells that are chosen alone, what is known of them, and the choice as numbers among them.
    """
    cells = screen.kept
    assert cells is not None
    assert cells.values is not None
    numbers = np.unique(np.concatenate([chosen.training, chosen.validation, chosen.control]))
    values, profile = cells.values[numbers], cells.profile[numbers]
    contexts, context = np.unique(screen.context, return_inverse=True)
    trains = np.isin(numbers, chosen.control)
    own = [np.flatnonzero(trains & (context[profile] == each)) for each in range(len(contexts))]
    draws = np.asarray(jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(jnp.asarray(numbers)))
    partner = np.arange(len(numbers))
    for each, controls in enumerate(own):
        some = np.flatnonzero((context[profile] == each) & ~screen.is_control[profile])
        partner[some] = controls[draws[some] % len(controls)] if len(controls) else partner[some]
    control = np.stack([_mean(values[rows]) for rows in own])
    genes = np.ones((len(parts), values.shape[1]), bool)
    for row in np.unique(profile[~screen.is_control[profile]]):
        genes[row] = _mean(values[profile == row]) != 0
    paired = PairedCells(partner, profile, np.maximum(parts, -1), genes, context, control.astype(np.float32))
    places = {name: np.searchsorted(numbers, getattr(chosen, name)) for name in ('training', 'validation', 'control')}
    return values, paired, chosen._replace(**places)


def check_batch(model: str, batch_size: int, chosen: Chosen, whose: str, mend: str) -> None:
    """Raises InputError where the training cells do not make a batch; `whose` says which cells train."""
    if len(chosen.training) < batch_size:
        raise InputError(
            f'models.{model}.batch_size: {batch_size} is more than the {len(chosen.training)} training cells whose '
            f'{whose}; {mend}.'
        )


def course_of_pairs(
    rule: Rule, values: scipy.sparse.csr_matrix, cells: PairedCells, chosen: Chosen, batch_size: int, tables: Tables,
    plan: Callable[[int, int], Plan], keys: Keys, finish: Callable[[Any], Params],
) -> Course:  # fmt: skip
    """What the trainer is to do with the pairs: whole batches train, and all validation cells are looked at."""
    return Course(
        rule=rule,
        values=values,
        partner=np.asarray(cells.partner),
        training=chosen.training,
        batch_size=batch_size,
        fewest=batch_size,
        validation=deal(chosen.validation, batch_size),
        tables=tables,
        plan=plan,
        keys=keys,
        finish=finish,
    )


def _mean(values: scipy.sparse.csr_matrix) -> Float[np.ndarray, ' G']:
    """The mean row; 0 of none."""
    return np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / max(values.shape[0], 1)
