"""Embeddings of cells in an h5ad file, as foundation models leave them in obsm, averaged by condition."""

import numpy as np
import pandas as pd
import scipy.sparse

from perturbjax.errors import InputError, listed
from perturbjax.readers.h5ad import read_obsm
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.table import screen_name
from perturbjax.screens.blocks import blocks


def read_cell_embeddings(path: str, key: str, fields: Fields) -> tuple[list[str], np.ndarray]:
    """The n conditions of an h5ad file and the mean embedding of the cells of each, `[n, D]` in float64.

    A large array is read block by block, so the memory grows with the conditions and not with the cells.

    Args:
      path: the file, or a zarr folder.
      key: of the embeddings in obsm, such as `X_uce`.
      fields: which columns of obs give the perturbation. Cells of one perturbation count together, whatever
        their context.

    Raises:
      InputError: the file cannot be read, obsm has no array of numbers under that key, or a value is not finite.
    """
    values, names = read_obsm(path, key, fields)
    codes, conditions = pd.factorize(names, sort=True)
    size = len(names)
    members = scipy.sparse.csr_matrix((np.ones(size), (codes, np.arange(size))), shape=(len(conditions), size))
    total = np.zeros((len(conditions), values.shape[1]))
    for block in blocks(values, screen_name(path)):
        sums = members[:, block.rows] @ block.values
        total[:, block.columns] += sums.toarray() if scipy.sparse.issparse(sums) else sums
    wrong = np.isnan(total).any(axis=1)
    if wrong.any():
        raise InputError(
            f'{path}: obsm[{key!r}]: cells of {listed(conditions[wrong])} have values that are no finite numbers; '
            'correct them or leave these cells out by fields.where.'
        )
    return list(conditions), total / np.bincount(codes)[:, None]
