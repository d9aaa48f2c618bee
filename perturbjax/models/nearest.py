"""The nearest-neighbour rule: a perturbation does what the training perturbations with like embeddings do.

The change from control is the mean of the changes of the neighbours in the same context, each weighted by the
cosine of its embedding and the asked one. The embeddings come from elsewhere: a language model's of gene
descriptions, or those that another model learned.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_range
from perturbjax.models.baselines import Deltas, fit_deltas, in_context, mean_delta
from perturbjax.models.embedding import embedding as read
from perturbjax.models.factorization import distinct_rows, find_rows, most_combinations
from perturbjax.models.held_out_like import all_profiles, flat_mask
from perturbjax.models.linear import sum_of_parts
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import exact_matmul
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID

_QUERIES_AT_ONCE = 256  # which bounds the memory of queries x perturbations
_RANDOM_WIDTH = 64


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      deltas: the changes of the training profiles.
      table: the embedding of each perturbation, 0 for control; NaN where there is none.
      known: the perturbations and combinations that can be neighbours, each once.
      trains: in which contexts each of them trains and has an embedding.
    """

    deltas: Deltas
    table: Float[jax.Array, 'P D']
    known: Int[jax.Array, 'I K']
    trains: Bool[jax.Array, 'C I']


def nearest(embedding: str, neighbours: int = 5) -> Model:
    """The nearest-neighbour rule over one or more screens.

    It has no answer for a perturbation without an embedding, and none where no training perturbation of the context
    has an embedding at less than a right angle to the asked one. A neighbour in which a readout was not measured
    does not count for that readout. Of neighbours at the same angle those that come first in the vocabulary count.

    Args:
      embedding: a file with a vector per perturbation, with or without its type, or another source of
        `feature_sources.vectors`; or `identity` or `random`, to compare with. A combination's embedding is the sum
        of its parts'.
      neighbours: how many training perturbations count, combinations among them.

    Raises:
      InputError: an embedding file that cannot be read or that names no perturbation of the screen.

    Example:
      >>> rule = nearest('random', neighbours=3)
    """
    check_range('models.nearest', 1, neighbours=neighbours)
    if embedding == 'training':
        raise InputError("models.nearest.embedding: there is none from training; name a file, 'identity' or 'random'.")
    lookup = read(embedding)

    def fit(compendium: Compendium, training: Masks) -> Params:
        names, (_, perturbation, _) = compendium.vocabulary, all_profiles(compendium)
        dtype = jax.dtypes.canonicalize_dtype(compendium.screens[0].values.dtype)
        vectors = lookup(names.perturbations, _RANDOM_WIDTH, dtype)
        assert vectors is not None  # only `training` has none
        table = vectors.at[CONTROL_ID].set(0)
        size = most_combinations(len(names.perturbations), perturbation.shape[1], len(perturbation))
        known = distinct_rows(perturbation, size)
        return Params(fit_deltas(compendium, training), table, known, _trains(compendium, training, table, known))

    return Model(fit, lambda params, query: _predict(params, query, neighbours))


def _trains(
    compendium: Compendium, training: Masks, table: Float[jax.Array, 'P D'], known: Int[jax.Array, 'I K']
) -> Bool[jax.Array, 'C I']:
    """In which contexts each known perturbation trains and has an embedding; control never does."""
    context, perturbation, _ = all_profiles(compendium)
    has_embedding = ~jnp.isnan(sum_of_parts(table, perturbation)).any(axis=1)
    is_used = flat_mask(training) & has_embedding & (perturbation[:, 0] != CONTROL_ID)
    number, _ = find_rows(known, perturbation)
    return jnp.zeros((len(compendium.vocabulary.contexts), len(known)), bool).at[context, number].max(is_used)


def _predict(params: Params, query: Query, neighbours: int) -> Float[jax.Array, 'Q M']:
    """Predictions; NaN where the rule has no answer."""
    chosen, weights = _neighbours(params, query, neighbours)

    def change_of(perturbation: Int[Array, 'Q K']) -> Float[jax.Array, 'Q M']:
        return mean_delta(params.deltas, query._replace(perturbation=perturbation), same_context=True)

    changes = jax.vmap(change_of, in_axes=1)(params.known[chosen])
    counted = jnp.where(jnp.isnan(changes), 0, weights.T[:, :, None])
    total = counted.sum(axis=0)
    change = (counted * jnp.nan_to_num(changes)).sum(axis=0) / jnp.where(total > 0, total, jnp.nan)
    is_control = (query.perturbation[:, 0] == CONTROL_ID)[:, None]
    return in_context(params.deltas.control, query) + jnp.where(is_control, 0, change)


def _neighbours(params: Params, query: Query, neighbours: int) -> tuple[Int[jax.Array, 'Q k'], Float[jax.Array, 'Q k']]:
    """Which known perturbations are the nearest of each asked one in its context, and their weights."""
    there = params.known < len(params.table)
    known = _unit(sum_of_parts(params.table, jnp.where(there, params.known, CONTROL_ID)))
    asked = _unit(sum_of_parts(params.table, query.perturbation))

    def of_query(one: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        context, vector = one
        cosine = jnp.where(params.trains[context], exact_matmul(known, vector), 0)
        weights, chosen = jax.lax.top_k(cosine, min(neighbours, len(known)))
        return chosen, jnp.maximum(weights, 0)

    return jax.lax.map(of_query, (jnp.asarray(query.context), asked), batch_size=_QUERIES_AT_ONCE)


def _unit(vectors: Float[jax.Array, 'Q D']) -> Float[jax.Array, 'Q D']:
    """Each vector divided by its length; one without a length stays 0."""
    length = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / jnp.where(length > 0, length, 1)
