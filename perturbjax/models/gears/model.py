"""GEARS as a model: what it needs of the data, how it is fitted, and its predictions as profiles."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float, Int

from perturbjax.errors import InputError, check_positive, check_range, did_you_mean, listed
from perturbjax.models.cell_learner import CellLearner, Course
from perturbjax.models.cells import (
    NUM_CONTROLS,
    column_of,
    control_cells,
    falling_rates,
    make_keys,
    screen_of_cells,
)
from perturbjax.models.gears.cells import judge_by
from perturbjax.models.gears.fitting import GearsRule, Tables
from perturbjax.models.gears.graphs import (
    Graph,
    coexpression,
    coverage,
    normalised,
    ontology_of_edges,
    ontology_of_terms,
)
from perturbjax.models.gears.network import GRAPH_ON, Graphs, Network, renormalised
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.paired_cells import (
    Chosen,
    check_batch,
    choose_cells,
    course_of_pairs,
    nodes_of,
    pair_cells,
)
from perturbjax.readers.gene_graph import EDGES, read_gene_graph
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary, target_gene

# Control cells that are predicted from at once.
_AT_ONCE = 50


def gears(
    graph: str,
    width: int = 64,
    graph_on: str = 'first',
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    lr_decay: float = 0.5,
    weight_decay: float = 5e-4,
) -> Model:
    """GEARS (Roohani et al. 2024) as released in cell-gears 0.1.2: a network from control cells to perturbed cells.

    It learns from the cells of one screen (`data.keep_cells`) on a log scale. Of `config.training` it goes by
    `cell_learner.SETTINGS`. It has no answer for a perturbation whose gene is not in the graph.

    Args:
      graph: a file of edges between genes, or of the terms that genes are annotated with; see
        `readers.gene_graph.read_gene_graph`. Of terms, genes with a Jaccard index above 0.1 are joined. A gene keeps
        its 21 strongest edges, that to itself among them.
      width: of embeddings and layers.
      graph_on: which cells of a batch see the graph of co-expression: the `first`, as released, or `all`, as meant.
      epochs: over the training cells. With validation profiles the best one is kept.
      batch_size: cells of a step.
      learning_rate, lr_decay: of Adam, and what it is multiplied by after every epoch.
      weight_decay: is added to the gradient, times the weight.

    Raises:
      InputError: a setting that is out of its range, or a file that cannot be read.

    Example:
      >>> config_data = {'source': 'h5ad', 'path': 'screen.h5ad', 'preset': 'gears', 'keep_cells': True}
      >>> config_models = {'gears': {'graph': 'go_essential_all.csv'}}
    """
    if graph_on not in GRAPH_ON:
        raise InputError(f'models.gears.graph_on: no such {graph_on!r}; {did_you_mean(graph_on, GRAPH_ON)}')
    check_range('models.gears', 1, width=width, epochs=epochs, batch_size=batch_size)
    check_positive('models.gears', learning_rate=learning_rate, lr_decay=lr_decay)
    check_range('models.gears', 0, weight_decay=weight_decay)
    table = read_gene_graph(graph)
    nodes, edges = (ontology_of_edges if EDGES[0] in table else ontology_of_terms)(table)
    ontology = normalised(edges, len(nodes))
    rates = functools.partial(falling_rates, learning_rate, lr_decay)

    def sized(readouts: int) -> Network:
        return Network(readouts, len(nodes), width, graph_on)

    def check(compendium: Compendium) -> None:
        screen_of_cells(compendium, 'gears')
        _tell_coverage(compendium.vocabulary, nodes, graph)

    def prepare(compendium: Compendium, training: Masks, validation: Masks, seed: int) -> Course:
        screen = screen_of_cells(compendium, 'gears')
        node, keys = coverage(nodes, _targets(compendium.vocabulary)), make_keys(seed)
        parts = nodes_of(screen, node)
        chosen = choose_cells(screen, parts, training, validation)
        more = 'lower it, or give a graph with more genes'
        check_batch('gears', batch_size, chosen, 'perturbations are in the graph', more)
        graphs = _graphs(screen, chosen, ontology)
        values, cells, chosen = pair_cells(screen, parts, chosen, keys.pairs)
        judged = judge_by(values, cells, chosen) if len(chosen.validation) else None
        known = {
            'node': node,
            'column': column_of(compendium.vocabulary, screen),
            'controls': control_cells(
                values, chosen.control, np.asarray(cells.condition), screen, compendium.vocabulary, keys
            ),
            **{name: graph._asdict() for name, graph in graphs._asdict().items()},
        }

        def finish(kept: Mapping[str, Any]) -> Mapping[str, Any]:
            return {'weights': renormalised(kept['weights']), 'statistics': kept['statistics'], **known}

        rule = GearsRule(sized(len(screen.readout)), weight_decay)
        tables = Tables(cells, graphs, judged)
        return course_of_pairs(rule, values, cells, chosen, batch_size, tables, rates, keys, finish)

    learner = CellLearner(prepare, epochs)
    return Model(None, functools.partial(_predict, sized), tile_values=(1, 1), cell_learner=learner, check=check)


def _targets(vocabulary: Vocabulary) -> list[str]:
    return [target_gene(name) for name in vocabulary.perturbations]


def _tell_coverage(vocabulary: Vocabulary, nodes: list[str], path: str) -> None:
    """Says which perturbations the graph lacks; raises InputError where it lacks all of them."""
    names = np.array(vocabulary.perturbations, object)[CONTROL_ID + 1 :]
    lacks = coverage(nodes, _targets(vocabulary))[CONTROL_ID + 1 :] < 0
    if lacks.all():
        raise InputError(
            f'{path}: none of the {len(names)} perturbations ({listed(names)}) is a gene of the graph, which has '
            f'{listed(nodes)}; name genes in both alike.'
        )
    if lacks.any():
        logging.warning(
            '%s: the graph has %d of %d perturbations; models.gears neither learns from nor predicts the others: %s.',
            *(path, (~lacks).sum(), len(names), listed(names[lacks])),
        )


def _graphs(screen: Screen, chosen: Chosen, ontology: Graph) -> Graphs:
    assert screen.kept is not None
    assert screen.kept.values is not None
    expressed = coexpression(screen.kept.values[chosen.of_graph])
    graphs = Graphs(normalised(expressed, len(screen.readout)), ontology)
    return Graphs(*(graph._replace(weight=graph.weight.astype(np.float32)) for graph in graphs))


def _predict(sized: Any, params: Mapping[str, Any], query: Query) -> Float[jax.Array, 'Q M']:
    """The mean over control cells of what the network makes of each; NaN where it cannot say."""
    graphs = Graphs(*(Graph(**params[name]) for name in Graphs._fields))
    variables = {'params': params['weights'], 'batch_stats': params['statistics']}
    network = sized(params['controls'].shape[2])
    perturbation = jnp.asarray(query.perturbation)
    node = jnp.asarray(params['node'])[jnp.maximum(perturbation, 0)]
    is_part = perturbation > CONTROL_ID
    parts, known = jnp.where(is_part, node, -1), (~is_part | (node >= 0)).all(axis=1)
    first = jnp.arange(NUM_CONTROLS).reshape(-1, _AT_ONCE) == 0

    def of_profile(asked: tuple[Int[jax.Array, ''], Int[jax.Array, ' K']]) -> Float[jax.Array, ' G']:
        controls = jnp.asarray(params['controls'])[asked[0]].reshape(-1, _AT_ONCE, network.num_genes)

        def of_cells(some: tuple[Any, Any]) -> Float[jax.Array, ' G']:
            each = jnp.broadcast_to(asked[1][None], (_AT_ONCE, len(asked[1])))
            return network.apply(variables, some[0], each, some[1], graphs)[0].mean(axis=0)

        return jax.lax.map(of_cells, (controls, first)).mean(axis=0)

    answer = jax.lax.map(of_profile, (jnp.asarray(query.context), parts))
    column = jnp.asarray(params['column'])[jnp.asarray(query.readout)]
    return jnp.where(known[:, None] & (column >= 0)[None, :], answer[:, column], jnp.nan)
