"""GEARS and CPA of perturbjax as a process that takes turns of training; `cells_training.py` starts it.

    python benchmarks/our_cells.py gears|cpa_first|cpa_game FOLDER BATCH EPOCHS

Every turn trains from the start, so that the first one compiles all that the others run.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from measuring import timed_apart
from turns import Asked

from perturbjax.models.cells import make_keys
from perturbjax.models.cpa import fitting as cpa_fitting
from perturbjax.models.cpa.cells import label_cells
from perturbjax.models.cpa.learning import Players, Rates
from perturbjax.models.cpa.network import Adversary, Autoencoder
from perturbjax.models.cpa.schedule import Settings as CpaSettings
from perturbjax.models.gears import fitting as gears_fitting
from perturbjax.models.gears.graphs import Graph, coverage, normalised, ontology_of_edges
from perturbjax.models.gears.network import Graphs, Network
from perturbjax.models.paired_cells import choose_cells, nodes_of, pair_cells
from perturbjax.readers.loading import load
from perturbjax.screens.vocabulary import target_gene

# More epochs than any turn has.
_NEVER = 10**6


class Training(NamedTuple):
    """What a turn runs, which returns the weights, and how many cells it goes through."""

    run: Callable[[], Any]
    genes: int
    cells: int
    batch: int


def loaded(folder: pathlib.Path) -> tuple[Any, tuple[np.ndarray], tuple[np.ndarray]]:
    """The cells, which of their profiles train, and which validate: none. The last perturbation takes no part."""
    compendium = load({'source': 'h5ad', 'path': str(folder / 'cells.h5ad'), 'preset': 'gears', 'keep_cells': True})
    (screen,) = compendium.screens
    last = max(compendium.vocabulary.perturbations[1:], key=lambda name: int(name[1:]))
    trains = (screen.perturbation != compendium.vocabulary.perturbations.index(last)).all(axis=1)
    return compendium, (trains,), (np.zeros_like(trains),)


def gears(folder: pathlib.Path, batch: int, epochs: int) -> Training:
    compendium, *masks = loaded(folder)
    (screen,), names = compendium.screens, compendium.vocabulary
    nodes, ontology = ontology_of_edges(pd.read_csv(folder / 'ontology.csv'))
    node = coverage(nodes, [target_gene(name) for name in names.perturbations])
    parts, keys = nodes_of(screen, node), make_keys(0)
    cells, chosen = pair_cells(screen, parts, choose_cells(screen, parts, *masks), keys.pairs)
    edges = pd.read_csv(folder / 'coexpression.csv')
    place = pd.Index([names.readouts[i] for i in screen.readout])
    source, target = (place.get_indexer(edges[end]) for end in ('source', 'target'))
    expressed = Graph(source, target, edges['importance'].to_numpy())
    graphs = Graphs(*(normalised(*each) for each in ((expressed, len(place)), (ontology, len(nodes)))))
    graphs = Graphs(*(each._replace(weight=each.weight.astype(np.float32)) for each in graphs))
    network, settings = Network(len(place), len(nodes)), gears_fitting.Settings(epochs, batch)

    def run() -> Any:
        return gears_fitting.fit_network(network, graphs, cells, chosen, settings, keys, 'gears').weights

    return Training(run, len(place), epochs * (len(chosen.training) // batch) * batch, batch)


def cpa(folder: pathlib.Path, batch: int, epochs: int, pretraining: int) -> Training:
    compendium, *masks = loaded(folder)
    (screen,), keys = compendium.screens, make_keys(0)
    cells, chosen = label_cells(screen, *masks, 'nb')
    genes, perturbations = len(screen.readout), len(compendium.vocabulary.perturbations)
    players = Players(Autoencoder(genes, perturbations), Adversary((len(cells.weights[0]),)), Rates())
    settings = CpaSettings(epochs=epochs, batch_size=batch, pretraining=pretraining)

    def run() -> Any:
        state = cpa_fitting.fit_networks(players, cells, chosen, settings, keys, 'cpa')
        return state.autoencoder.weights, state.adversary.weights

    return Training(run, genes, epochs * len(chosen.training), min(batch, len(chosen.training)))


def main() -> None:
    asked, (name, folder, *given) = Asked(), sys.argv[1:]
    batch, epochs = map(int, given)
    if name == 'gears':
        training = gears(pathlib.Path(folder), batch, epochs)
    else:
        training = cpa(pathlib.Path(folder), batch, epochs, _NEVER if name == 'cpa_first' else -1)
    run, *sizes = training
    facts: dict[str, Any] = dict(zip(Training._fields[1:], sizes, strict=True))
    while True:
        asked.wait()
        began = time.process_time()
        weights, seconds, compiling = timed_apart(lambda: jax.block_until_ready(run()))
        facts['processor'] = time.process_time() - began
        number = sum(each.size for each in jax.tree.leaves(weights))
        asked.tell(**facts, seconds=seconds, compiling=compiling, weights=number, versions={'jax': jax.__version__})


if __name__ == '__main__':
    main()
