"""Embedding tables and cells made by hand, for the tests of analysis."""

import anndata
import numpy as np
import pandas as pd

from perturbjax.analysis.embeddings import named_rows

# Which columns of `write_cells` say what.
FIELDS = {'context': 'cell', 'perturbation': 'gene'}


def table(names, vectors, axis='perturbation', seeds=('13',)):
    """A table as `axis_table` gives it; with several seeds, `vectors` has one `[n, D]` for each."""
    every = [vectors] if len(seeds) == 1 else vectors
    counts = np.ones(len(names), np.int32)
    rows = pd.concat([named_rows(axis, names, counts).assign(model='lpm', split=seed) for seed in seeds])
    rows.index = pd.Index([f'{split}/{name}' for split, name in zip(rows['split'], rows.index)], dtype=object)
    return anndata.AnnData(np.concatenate([np.asarray(each, np.float32) for each in every]), rows)


def random_table(names, width=6, seed=0, axis='perturbation'):
    return table(names, np.random.default_rng(seed).normal(size=(len(names), width)), axis)


def write_cells(path, values, readouts=('x', 'y'), genes=('control', 'g', 'h')):
    """An h5ad of cells in context a: `values` `[rows, M]` for the first gene, plus 10 for each gene after it."""
    blocks = [values + 10 * position for position in range(len(genes))]
    obs = pd.DataFrame({'cell': 'a', 'gene': np.repeat(genes, len(values))})
    obs.index = [f'cell {i}' for i in range(len(obs))]
    anndata.AnnData(np.concatenate(blocks), obs, pd.DataFrame(index=list(readouts))).write_h5ad(path)
    return str(path)
