"""The kernel rule: a ridge regression on embeddings, for perturbations that nobody measured.

What a perturbation does beside the mean of its context is a smooth function of its embedding. In each screen, with
r_i the mean over contexts of what training perturbation i leaves over of its context's mean, n_i the number of its
profiles (or the sum of their weights), and k(x, y) = exp(-|x - y|^2 / 2 l^2),

    prediction(x) = mean of the context + sum_i k(x, x_i) a_i,    (K + penalty diag(1 / n)) a = r.

The length l, as a multiple of the median distance, and the penalty minimise the exact error of leaving out each
training perturbation that is like the held-out ones; a large penalty is the mean of the context alone. It is the
posterior mean of a Gaussian process. Source: Rasmussen and Williams 2006, chapter 2 and equation 5.12.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError
from perturbjax.models.baselines import in_context
from perturbjax.models.centre import Centre, centre, fit_centre
from perturbjax.models.embedding import embedding as read
from perturbjax.models.factorization import distinct_rows, find_rows, most_combinations
from perturbjax.models.held_out_like import by_screen, held_out_like
from perturbjax.models.linear import sum_of_parts
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import Sums, add_up_groups, columns, exact_matmul
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID

# Lengths as multiples of the median distance, and penalties.
LENGTHS = (0.25, 0.5, 1.0, 2.0)
PENALTIES = tuple(float(10**power) for power in (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3))
_RANDOM_WIDTH = 64


class OfScreen(NamedTuple):
    """What one screen says of embeddings.

    Attributes:
      vectors: of the training perturbations; zero for what does not train.
      weights: a, of each training perturbation and readout.
      length: l.
      readout: ids.
    """

    vectors: Float[jax.Array, 'I D']
    weights: Float[jax.Array, 'I m']
    length: Float[jax.Array, '']
    readout: Int[jax.Array, ' m']


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      centre: of contexts.
      table: the embedding of each perturbation, 0 for control; NaN where there is none.
      screens: one entry per screen.
    """

    centre: Centre
    table: Float[jax.Array, 'P D']
    screens: tuple[OfScreen, ...]


class Rows(NamedTuple):
    """The training perturbations of a screen, each once, filled up with rows of 0 profiles.

    Attributes:
      vectors: embeddings.
      value: r, 0 where nothing was measured.
      profiles: n.
      is_like: whether a profile of it is like the held-out ones.
    """

    vectors: Float[jax.Array, 'I D']
    value: Float[jax.Array, 'I m']
    profiles: Float[jax.Array, ' I']
    is_like: Bool[jax.Array, ' I']


def kernel(embedding: str) -> Model:
    """The kernel rule over one or more screens.

    It has no answer for a perturbation without an embedding. In a context of which only control is known it starts
    from the mean change of the others, see `centre`.
    Where several screens have a readout, what they say is averaged. A readout that a training perturbation was not
    measured in counts as the mean of the context there.

    Args:
      embedding: a file with a column per perturbation, with or without its type, or another source of
        `feature_sources.vectors`; or `identity` or `random`, to compare with. A combination's embedding is the
        sum of its parts'.

    Raises:
      InputError: an embedding file that cannot be read or that names no perturbation of the screen.

    Example:
      >>> rule = kernel('random')
    """
    if embedding == 'training':
        raise InputError("models.kernel.embedding: there is none from training; name a file, 'identity' or 'random'.")
    lookup = read(embedding)

    def fit(compendium: Compendium, training: Masks) -> Params:
        names, fitted = compendium.vocabulary, fit_centre(compendium, training)
        vectors = lookup(names.perturbations, _RANDOM_WIDTH, fitted.perturbed[0].total.dtype)
        assert vectors is not None  # only `training` has none
        table = vectors.at[CONTROL_ID].set(0)
        like = by_screen(compendium, held_out_like(compendium, training).is_like)
        rows = [
            rows_of(screen, jnp.asarray(mask), jnp.asarray(is_like), fitted.perturbed, table)
            for screen, mask, is_like in zip(compendium.screens, training, like, strict=True)
        ]
        readouts = [jnp.asarray(screen.readout) for screen in compendium.screens]
        return Params(fitted, table, tuple(map(_fit, rows, readouts)))

    return Model(fit, _predict)


def rows_of(
    screen: Screen,
    training: Bool[jax.Array, ' N'],
    is_like: Bool[jax.Array, ' N'],
    perturbed: tuple[Sums, ...],
    table: Float[jax.Array, 'P D'],
) -> Rows:
    """What each training perturbation of a screen leaves over of its contexts' means."""
    perturbation = jnp.asarray(screen.perturbation)
    readout = jnp.asarray(screen.readout)
    query = Query(jnp.asarray(screen.context), perturbation, readout)
    left = jnp.asarray(screen.values) - in_context(perturbed, query)
    has_embedding = ~jnp.isnan(sum_of_parts(table, perturbation)).any(axis=1)
    is_used = training & has_embedding & (perturbation[:, 0] > CONTROL_ID)
    known = distinct_rows(perturbation, most_combinations(len(table), perturbation.shape[1], len(perturbation)))
    number, size = jnp.where(is_used, find_rows(known, perturbation)[0], len(known)), len(known)
    sums = add_up_groups(left, number, size, readout, screen.weight)
    each = 1 if screen.weight is None else jnp.asarray(screen.weight)
    profiles = jnp.zeros(size, left.dtype).at[number].add(each, mode='drop')
    likes = jnp.zeros(size, bool).at[number].max(is_like, mode='drop')
    vectors = sum_of_parts(table, jnp.where((profiles > 0)[:, None], known, CONTROL_ID))
    return Rows(vectors, sums.total / jnp.where(sums.number > 0, sums.number, 1), profiles, likes)


def _fit(rows: Rows, readout: Int[jax.Array, ' m']) -> OfScreen:
    """The weights that follow from the chosen length and penalty."""
    length, penalty = chosen(rows)
    turned = _turn(rows, squared_distances(rows.vectors, rows.vectors), length)
    return OfScreen(rows.vectors, turned.root * _weights(turned, penalty), length, readout)


def chosen(rows: Rows) -> tuple[Float[jax.Array, ''], Float[jax.Array, '']]:
    """The length and the penalty with the lowest error of leaving out."""
    squares = squared_distances(rows.vectors, rows.vectors)
    there = (rows.profiles[:, None] > 0) & (rows.profiles[None, :] > 0) & (squares > 0)
    median = jnp.nan_to_num(jnp.sqrt(jnp.nanmedian(jnp.where(there, squares, jnp.nan))), nan=1.0)
    lengths = median * jnp.asarray(LENGTHS, squares.dtype)
    errors = jax.lax.map(lambda length: leave_out_errors(rows, squares, length), lengths)
    best, penalty = jnp.unravel_index(jnp.argmin(errors), errors.shape)
    return lengths[best], jnp.asarray(PENALTIES, squares.dtype)[penalty]


def leave_out_errors(
    rows: Rows, squares: Float[jax.Array, 'I I'], length: Float[jax.Array, '']
) -> Float[jax.Array, ' V']:
    """The mean L2, for each penalty, of the training perturbations that are like the held-out ones, each left out.

    The means of contexts keep what is left out.
    """
    turned = _turn(rows, squares, length)
    is_like = rows.is_like & (rows.profiles > 0)

    def of_penalty(penalty: Float[jax.Array, '']) -> Float[jax.Array, '']:
        diagonal = exact_matmul(turned.basis**2, (1 / (turned.spectrum + penalty))[:, None])
        left_out = _weights(turned, penalty) / diagonal / jnp.where(turned.root > 0, turned.root, 1)
        return jnp.where(is_like, jnp.linalg.norm(left_out, axis=1), 0).sum() / jnp.maximum(is_like.sum(), 1)

    return jax.lax.map(of_penalty, jnp.asarray(PENALTIES, length.dtype))


class _Turned(NamedTuple):
    """The regression in the axes of sqrt(n) K sqrt(n): there the penalty is added to each value of the spectrum."""

    root: Float[jax.Array, 'I 1']
    spectrum: Float[jax.Array, ' I']
    basis: Float[jax.Array, 'I I']
    value: Float[jax.Array, 'I m']


def _turn(rows: Rows, squares: Float[jax.Array, 'I I'], length: Float[jax.Array, '']) -> _Turned:
    root = jnp.sqrt(rows.profiles)[:, None]
    spectrum, basis = jnp.linalg.eigh(root * jnp.exp(-squares / (2 * length**2)) * root.T)
    return _Turned(root, jnp.maximum(spectrum, 0), basis, exact_matmul(basis.T, root * rows.value))


def _weights(turned: _Turned, penalty: Float[jax.Array, '']) -> Float[jax.Array, 'I m']:
    return exact_matmul(turned.basis, turned.value / (turned.spectrum + penalty)[:, None])


def squared_distances(x: Float[jax.Array, 'I D'], y: Float[jax.Array, 'J D']) -> Float[jax.Array, 'I J']:
    """|x_i - y_j|^2, 0 or more."""
    products = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * exact_matmul(x, y.T)
    return jnp.maximum(products, 0)


def _predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    perturbation, readout = jnp.asarray(query.perturbation), jnp.asarray(query.readout)
    vectors = sum_of_parts(params.table, perturbation)
    total = number = jnp.zeros((), vectors.dtype)
    for each in params.screens:
        near = jnp.exp(-squared_distances(vectors, each.vectors) / (2 * each.length**2))
        column, there = columns(each.readout, readout)
        total = total + jnp.where(there, exact_matmul(near, each.weights[:, column]), 0)
        number = number + there
    is_control = (perturbation[:, 0] == CONTROL_ID)[:, None]
    # Said here once more: compiled for many queries, the maximum in `squared_distances` makes 0 of NaN on a CPU.
    is_unknown = jnp.isnan(vectors).any(axis=1)[:, None]
    change = jnp.where(is_control, 0, jnp.where(is_unknown, jnp.nan, total / jnp.maximum(number, 1)))
    return centre(params.centre, query) + change
