"""Generated cells as a file that perturbjax, cell-gears and cpa-tools all read, and graphs of their genes."""

import pathlib

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from perturbjax.models.gears.graphs import Graph, coexpression

# Genes of a module rise and fall together; a perturbation changes a tenth of the genes.
_MODULE, _CHANGED = 40, 0.1
_NEIGHBOURS = 20
_ROWS_AT_ONCE = 512


def write_cells(folder: pathlib.Path, cells: int, genes: int, perturbations: int, held_out: int = 32) -> None:
    """Writes `cells.h5ad`, and `ontology.csv` and `coexpression.csv` with the columns of `go_essential_all.csv`.

    A fifth of the training cells are control, the others are of single perturbations, which are genes g1, g2, ... .
    A last perturbation has `held_out` more cells, for `obs.split` test. X is ln(1 + counts scaled to 10,000), sparse;
    the layer `counts` has the counts. Every gene is a node of the ontology, with 20 neighbours at random and itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    number = np.arange(cells)
    kind = np.where(number % 5 == 0, 0, 1 + (number - number // 5 - 1) % perturbations)
    kind = np.concatenate([kind, np.full(held_out, perturbations + 1)])
    counts = _counts(rng, kind, genes)
    total = np.asarray(counts.sum(axis=1)).ravel()
    values = scipy.sparse.csr_matrix(scipy.sparse.diags(1e4 / total) @ counts).log1p().astype(np.float32)
    names = np.array([f'g{i}' for i in range(genes)], object)
    obs = pd.DataFrame(
        {
            'condition': [f'g{i}+ctrl' if i else 'ctrl' for i in kind],
            'cell_type': 'k562',
            'split': np.where(kind <= perturbations, 'train', 'test'),
        },
        index=[f'c{i}' for i in range(len(kind))],
    )
    obs['condition_name'] = [f'k562_{each}_{"1+1" if "+" in each else "1"}' for each in obs['condition']]
    obs = obs.astype('category')
    var = pd.DataFrame({'gene_name': names}, index=pd.Index([f'e{i}' for i in range(genes)]))
    anndata.AnnData(values, obs, var, layers={'counts': counts}).write_h5ad(folder / 'cells.h5ad')
    _write(folder / 'coexpression.csv', coexpression(values[kind <= perturbations]), names)
    _write(folder / 'ontology.csv', _ontology(rng, genes), names)


def _counts(rng: np.random.Generator, kind: np.ndarray, genes: int) -> scipy.sparse.csr_matrix:
    """Poisson counts whose rates have modules, and effects of the cells' perturbations."""
    level, module = rng.normal(-2.5, 1.5, genes), np.arange(genes) // _MODULE
    effects = rng.normal(0, 1, (kind.max() + 1, genes)) * (rng.random((kind.max() + 1, genes)) < _CHANGED)
    effects[0] = 0
    parts = []
    for start in range(0, len(kind), _ROWS_AT_ONCE):
        some = kind[start : start + _ROWS_AT_ONCE]
        state = rng.normal(0, 0.7, (len(some), module.max() + 1))
        rate = np.exp(np.minimum(level + effects[some] + state[:, module], 5))
        parts.append(scipy.sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    return scipy.sparse.vstack(parts, format='csr')


def _ontology(rng: np.random.Generator, genes: int) -> Graph:
    number = min(_NEIGHBOURS, genes - 1)
    apart = 1 + np.stack([rng.choice(genes - 1, number, replace=False) for _ in range(genes)])
    others = (np.arange(genes)[:, None] + apart) % genes
    source = np.concatenate([np.arange(genes), others.ravel()])
    target = np.concatenate([np.arange(genes), np.repeat(np.arange(genes), number)])
    weight = np.concatenate([np.ones(genes), rng.uniform(0.1, 1, others.size)])
    return Graph(source, target, weight)


def _write(path: pathlib.Path, graph: Graph, names: np.ndarray) -> None:
    edges = {'source': names[graph.source], 'target': names[graph.target], 'importance': graph.weight}
    pd.DataFrame(edges).to_csv(path, index=False)
