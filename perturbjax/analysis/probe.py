"""A linear probe: can the membership of genes in a set be read from embeddings?

One ridge regression of the membership in all sets on the vectors of the genes, cross-validated over genes.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null
from perturbjax.analysis.vectors import Tables, by_source, genes, stack_sources
from perturbjax.errors import InputError, check_positive, check_range, did_you_mean


class Probe(NamedTuple):
    """How well gene sets can be read from the vectors.

    Attributes:
      overall: for every source, the mean AUROC over sets beside its null, the share of sets with p <= 0.05
        (`told`), and the number of sets and genes.
      sets: for every set, its number of genes, and its AUROC beside its null.
    """

    overall: pd.DataFrame
    sets: pd.DataFrame


def probe_sets(
    tables: Tables,
    sets: pd.DataFrame,
    folds: int = 5,
    ridge: float = 1.0,
    smallest: int = 5,
    permutations: int = 100,
    seed: int = 0,
) -> Probe:
    """AUROC of every gene set, by a ridge regression that was not fitted on the gene.

    Genes are compared only within their fold, because each fold has its own regression. The null permutes the
    vectors of the genes, so the sets keep their sizes and overlaps.

    Args:
      tables: a table of perturbations or readouts from `axis_table`, or several by label.
      sets: columns `set` and `gene`, as `read_sets` returns them.
      folds: number of folds that the genes are divided into at random.
      ridge: penalty in units of sum(s^4) / sum(s^2), where s are the singular values of the vectors of the
        training genes; so the scale of the vectors, their basis and redundant columns do not matter.
      smallest: sets with fewer genes inside or outside (among the genes of the tables) are left out.
      permutations: number of draws of the null.
      seed: seed of the folds and the null.

    Raises:
      InputError: no set has enough genes in the tables, or there are too few genes for the folds.
    """
    check_range('analysis', 1, permutations=permutations, smallest=smallest)
    check_range('analysis', 2, folds=folds)
    check_positive('analysis', ridge=ridge)
    check_columns(sets, ('set', 'gene'), 'gene sets')
    vectors = by_source(tables, functools.partial(genes, scale=lambda rows: rows), 'genes')
    names = next(iter(vectors.values())).names
    members = _members(sets, names, smallest)
    if len(names) < 2 * folds:
        raise InputError(f'analysis.folds: {len(names)} genes are too few for {folds} folds; set fewer folds.')
    rng = np.random.default_rng(seed)
    test = _folds(len(names), folds, rng)
    orders = np.stack([np.arange(len(names)), *(rng.permutation(len(names)) for _ in range(permutations))])
    overall, each_set = {}, {}
    for source, (_, values) in vectors.items():
        auroc = np.asarray(_aurocs(_rotated(values), members.to_numpy(np.float32), test, orders, ridge))
        judged = beside_null(auroc[0], auroc[1:])
        named = {'set': members.columns, 'genes': members.sum().to_numpy()}
        each_set[source] = pd.DataFrame(named | judged).rename(columns={'value': 'auroc'})
        row = {'measure': 'mean_auroc'} | beside_null(auroc[0].mean(), auroc[1:].mean(axis=1))
        counts = {'told': (judged['p'] <= 0.05).mean(), 'sets': len(members.columns), 'genes': len(names)}
        overall[source] = pd.DataFrame([row | counts])
    return Probe(stack_sources(overall), stack_sources(each_set))


def _members(sets: pd.DataFrame, names: np.ndarray, smallest: int) -> pd.DataFrame:
    """Which gene is in which set, 0/1, `[genes, sets]`."""
    here = sets[sets['gene'].isin(names)]
    if here.empty:
        wanted = str(sets['gene'].iloc[0])
        hint = did_you_mean(wanted, names)
        raise InputError(f'gene sets: none of their genes is in the table, such as {wanted!r}; {hint}')
    table = pd.crosstab(here['gene'], here['set']).reindex(names, fill_value=0).clip(upper=1)
    sizes = table.sum()
    kept = table.loc[:, (sizes >= smallest) & (len(names) - sizes >= smallest)]
    if not len(kept.columns):
        raise InputError(
            f'gene sets: the largest of {len(sizes)} sets has {sizes.max()} of the {len(names)} genes; '
            f'each needs {smallest} inside and outside, so lower `smallest`, or give other sets.'
        )
    return kept


def _folds(n: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The genes of each fold, `[folds, n / folds rounded up]`; padded with -1."""
    padded = np.full(-(-n // folds) * folds, -1)
    padded[:n] = rng.permutation(n)
    return padded.reshape(-1, folds).T


def _rotated(values: np.ndarray) -> jax.Array:
    """The rows in the basis of their singular vectors, which gives the same regression with at most n columns."""
    left, size, _ = np.linalg.svd(values, full_matrices=False)
    return jnp.asarray(left * (size / max(size[0], np.finfo(float).tiny)), jnp.float32)


@jax.jit
def _aurocs(values: jax.Array, members: jax.Array, test: jax.Array, orders: jax.Array, ridge: float) -> jax.Array:
    """AUROC of each set, `[draws, sets]`, for the rows of `values [n, D]` in each of the orders `[draws, n]`."""
    with jax.default_matmul_precision('highest'):
        return jax.lax.map(lambda order: _auroc(values[order], members, test, ridge), orders)


def _auroc(values: jax.Array, members: jax.Array, test: jax.Array, ridge: float) -> jax.Array:
    """The share of pairs (a member and another gene of its fold) in which the member scores higher, over all folds."""

    def one_fold(fold: jax.Array) -> tuple[jax.Array, jax.Array]:
        there = (fold >= 0)[:, None]
        inside = jnp.where(there, members[fold], 0)
        scores = jnp.where(there, _held_out_scores(values, members, fold, ridge), -jnp.inf)
        return _pairs_in_order(scores, inside, there)

    in_order, pairs = jax.vmap(one_fold)(test)
    return in_order.sum(axis=0) / pairs.sum(axis=0)


def _held_out_scores(values: jax.Array, members: jax.Array, fold: jax.Array, ridge: float) -> jax.Array:
    """Ridge scores of the genes of a fold, `[genes of the fold, sets]`, by a regression on the other genes."""
    n, width = values.shape
    train = jnp.ones(n).at[jnp.where(fold >= 0, fold, n)].set(0, mode='drop')[:, None]
    x = values - (train * values).sum(axis=0, keepdims=True) / train.sum()
    y = members - (train * members).sum(axis=0, keepdims=True) / train.sum()
    gram = x.T @ (train * x)
    penalty = ridge * (gram**2).sum() / jnp.trace(gram)
    weights = jnp.linalg.solve(gram + penalty * jnp.eye(width), x.T @ (train * y))
    return x[fold] @ weights


def _pairs_in_order(scores: jax.Array, inside: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """For each set, the pairs in which a member scores higher than another gene (ties half), and all; `[sets]`."""
    ordered = jnp.sort(scores, axis=0)

    def below(side: str) -> jax.Array:
        return jax.vmap(functools.partial(jnp.searchsorted, side=side), in_axes=1, out_axes=1)(ordered, scores)

    rank = (below('left') + below('right') + 1) / 2 - (~there).sum()  # padding is below everything
    number = inside.sum(axis=0)
    in_order = (inside * rank).sum(axis=0) - number * (number + 1) / 2
    return in_order, number * (there.sum() - number)
