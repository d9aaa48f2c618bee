"""scGPT as a model: what it needs of the data, how it is fine-tuned, and its predictions as profiles."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float, Int

from perturbjax.errors import InputError, check_positive, check_range, listed
from perturbjax.models.cell_learner import CellLearner, Course
from perturbjax.models.cells import column_of, control_cells, falling_rates, make_keys, screen_of_cells
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.paired_cells import check_batch, choose_cells, course_of_pairs, nodes_of, pair_cells
from perturbjax.models.scgpt.fitting import ScgptRule, Tables, flags_of
from perturbjax.models.scgpt.network import Network
from perturbjax.models.scgpt.pretrained import ARGUMENTS, VOCABULARY, WEIGHTS, WHERE, read_pretrained
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary

# A prediction is the mean over so many control cells of its context, drawn with replacement.
NUM_CONTROLS = 100

# How many genes, of all cells together, are predicted at once, and how many of them look around at once.
_GENES_AT_ONCE = 20_000
_LOOK_AT_ONCE = 512


def scgpt(
    weights: str = '',
    genes: int = 1536,
    epochs: int = 15,
    batch_size: int = 64,
    learning_rate: float = 1e-4,
    lr_decay: float = 0.9,
    patience: int = 5,
) -> Model:
    """scGPT's generator (Cui et al. 2024), fine-tuned on a screen as Ahlmann-Eltze et al. 2025 did.

    It learns from the cells of one screen (`data.keep_cells`) on a log scale. Of `config.training` it goes by
    `cell_learner.SETTINGS`. It has no answer for a perturbation of a gene that is not a readout.

    Args:
      weights: the folder of the pretrained weights, see `scgpt.pretrained`; they need torch, and are not given here.
      genes: how many are drawn for each step and shown in it. As released, the perturbed one is drawn like any other.
      epochs: over the training cells, at most. With validation profiles the best one is kept.
      batch_size: cells of a step.
      learning_rate, lr_decay: of Adam, and what it is multiplied by after every epoch.
      patience: training stops after so many epochs in a row that were not the best.

    Raises:
      InputError: a setting that is out of its range, or weights that are missing or cannot be read.

    Example:
      >>> config_data = {'source': 'h5ad', 'path': 'screen.h5ad', 'preset': 'gears', 'keep_cells': True}
      >>> config_models = {'scgpt': {'weights': 'scGPT_human'}}
    """
    check_range('models.scgpt', 1, genes=genes, epochs=epochs, batch_size=batch_size, patience=patience)
    check_positive('models.scgpt', learning_rate=learning_rate, lr_decay=lr_decay)
    if not weights:
        raise InputError(
            f'models.scgpt.weights: name a folder with {listed((WEIGHTS, VOCABULARY, ARGUMENTS))} of the pretrained '
            f'scGPT; {WHERE}.'
        )
    pretrained = read_pretrained(weights)
    rates = functools.partial(falling_rates, learning_rate, lr_decay)

    def check(compendium: Compendium) -> None:
        screen = screen_of_cells(compendium, 'scgpt')
        pretrained.tell_coverage(_genes(compendium.vocabulary, screen), screen.name)
        _tell_targets(compendium.vocabulary, _place(compendium.vocabulary, screen))

    def prepare(compendium: Compendium, training: Masks, validation: Masks, seed: int) -> Course:
        screen, keys = screen_of_cells(compendium, 'scgpt'), make_keys(seed)
        place = _place(compendium.vocabulary, screen)
        parts = nodes_of(screen, place)
        chosen = choose_cells(screen, parts, training, validation)
        check_batch('scgpt', batch_size, chosen, 'perturbed genes are readouts', 'lower it')
        values, cells, chosen = pair_cells(screen, parts, chosen, keys.pairs)
        tokens = pretrained.tokens(_genes(compendium.vocabulary, screen))
        own = pretrained.of_panel(tokens)
        tokens = np.where(tokens == pretrained.network.padding, len(tokens), np.arange(len(tokens))).astype(np.int32)
        known = {
            'tokens': tokens,
            'place': place,
            'column': column_of(compendium.vocabulary, screen),
            'controls': control_cells(
                values, chosen.control, np.asarray(cells.condition), screen, compendium.vocabulary, keys, NUM_CONTROLS
            ),
        }
        rule, tables = ScgptRule(own.network, genes), Tables(cells, tokens, own.weights)

        def finish(kept: Any) -> Mapping[str, Any]:
            return {'weights': kept, **known}

        return course_of_pairs(rule, values, cells, chosen, batch_size, tables, rates, keys, finish)

    predict = functools.partial(_predict, pretrained.network)
    return Model(None, predict, tile_values=(1, 1), cell_learner=CellLearner(prepare, epochs, patience), check=check)


def _genes(vocabulary: Vocabulary, screen: Screen) -> list[str]:
    return [vocabulary.readouts[i] for i in screen.readout]


def _place(vocabulary: Vocabulary, screen: Screen) -> Int[np.ndarray, ' P']:
    """The column of the gene that each perturbation aims at in the screen's panel; -1 where it has none."""
    target = np.asarray(vocabulary.target_readouts())
    return np.where(target < 0, -1, column_of(vocabulary, screen)[target]).astype(np.int32)


def _tell_targets(vocabulary: Vocabulary, place: Int[np.ndarray, ' P']) -> None:
    """Says which perturbed genes are no readouts; raises InputError where none of them is."""
    names = np.array(vocabulary.perturbations, object)[CONTROL_ID + 1 :]
    lacks = place[CONTROL_ID + 1 :] < 0
    if lacks.all():
        raise InputError(
            f'models.scgpt: none of the {len(names)} perturbations ({listed(names)}) is of a gene that is a readout, '
            'and it flags readouts; name both alike, or leave the model out.'
        )
    if lacks.any():
        logging.warning(
            'models.scgpt: %d of %d perturbed genes are no readouts; it neither learns from nor predicts them: %s.',
            *(lacks.sum(), len(names), listed(names[lacks])),
        )


def _predict(sized: Network, params: Mapping[str, Any], query: Query) -> Float[jax.Array, 'Q M']:
    """The mean over control cells of what the network makes of each, over all genes; NaN where it cannot say."""
    tokens, controls = jnp.asarray(params['tokens']), jnp.asarray(params['controls'])
    genes = len(tokens)
    network = sized.clone(num_tokens=genes + 1, padding=genes, at_once=_LOOK_AT_ONCE)
    perturbation = jnp.asarray(query.perturbation)
    place = jnp.asarray(params['place'])[jnp.maximum(perturbation, 0)]
    is_part = perturbation > CONTROL_ID
    parts, known = jnp.where(is_part, place, -1), (~is_part | (place >= 0)).all(axis=1)
    cells_at_once = min(max(_GENES_AT_ONCE // genes, 1), NUM_CONTROLS)

    def of_profile(asked: tuple[Int[jax.Array, ''], Int[jax.Array, ' K']]) -> Float[jax.Array, ' G']:
        flags = flags_of(asked[1][None], jnp.arange(genes))

        def of_cell(x: Float[jax.Array, ' G']) -> Float[jax.Array, ' G']:
            return jnp.asarray(network.apply({'params': params['weights']}, tokens, x[None], flags))[0]

        return jax.lax.map(of_cell, controls[asked[0]], batch_size=cells_at_once).mean(axis=0)

    answer = jax.lax.map(of_profile, (jnp.asarray(query.context), parts))
    column = jnp.asarray(params['column'])[jnp.asarray(query.readout)]
    return jnp.where(known[:, None] & (column >= 0)[None, :], answer[:, column], jnp.nan)
