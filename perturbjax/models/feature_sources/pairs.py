"""Vectors of genes from pairs of them: the spectral embedding of the graph that the pairs make.

With A the weights of the pairs and tau the mean degree over n nodes, the axes are the eigenvectors of
D^-1/2 (A + tau / n) D^-1/2 with the largest eigenvalues after the first, which says no more than the degrees. Without
tau every small part of the graph that is joined to nothing has an axis of its own. A gene's vector is of length 1, for
what genes have in common is their direction. Source: Qin and Rohe 2013.
"""

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh

from perturbjax.models.feature_sources.main_axes import MOST_AXES, signed

# Up to here the whole matrix is decomposed; eigsh gives fewer axes than there are nodes.
_SMALL = 200
# An axis needs a positive eigenvalue: genes that are close have the same sign there.
_LEAST = 1e-9


def pair_vectors(pairs: pd.DataFrame) -> tuple[list[str], Float[np.ndarray, 'n R']]:
    """The genes, sorted, and their vectors: each axis times its eigenvalue, at most `MOST_AXES` of them, and length 1.

    Args:
      pairs: columns `first`, `second` and `weight`, each pair once.
    """
    genes = sorted({*pairs['first'], *pairs['second']})
    index, size = pd.Index(np.array(genes, object)), len(genes)
    first, second = (index.get_indexer(pairs[name]) for name in ('first', 'second'))
    upper = scipy.sparse.coo_matrix((pairs['weight'].to_numpy(float), (first, second)), shape=(size, size)).tocsr()
    graph = upper + upper.T
    degree = np.asarray(graph.sum(axis=1)).ravel()
    tau = degree.mean()
    scale = 1 / np.sqrt(degree + tau)
    joined = scipy.sparse.diags(scale) @ graph @ scipy.sparse.diags(scale)
    values, axes = _largest(joined, scale * np.sqrt(tau / size), min(MOST_AXES + 1, size))
    kept = np.flatnonzero(values > _LEAST)[1:]
    vectors = signed(axes[:, kept]) * values[kept]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return genes, vectors / np.where(lengths > 0, lengths, 1)


def _largest(
    joined: scipy.sparse.spmatrix, constant: Float[np.ndarray, ' n'], number: int
) -> tuple[Float[np.ndarray, ' R'], Float[np.ndarray, 'n R']]:
    """The largest eigenvalues of `joined` + constant constant', the largest first, and their unit eigenvectors."""
    if joined.shape[0] <= _SMALL:
        values, axes = np.linalg.eigh(joined.toarray() + np.outer(constant, constant))
    else:
        whole = LinearOperator(joined.shape, matvec=lambda x: joined @ x + constant * (constant @ x), dtype=float)
        start = np.random.default_rng(0).normal(size=joined.shape[0])
        values, axes = eigsh(whole, k=number, which='LA', v0=start)
    order = np.argsort(-values, kind='stable')[:number]
    return values[order], axes[:, order]
