"""A stack: the convex combination of simple rules with the lowest error out of fold.

Which rule is the best one differs from screen to screen, and picking one by its error on few profiles is noisy.
Weights w that are at least 0 and add up to 1, and minimise the mean L2 error over the profiles that stand for the
held-out ones, are less so:

    mean over i of | y_i - sum over c of w_c p_ci |,

with p_ci the prediction of rule c without the fold of profile i. Where they are not better than the best single
rule by more than one standard error, that rule has all the weight.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.errors import InputError, check_range, did_you_mean
from perturbjax.models.additive import additive
from perturbjax.models.baselines import context_mean, mean, no_change, perturbation_mean
from perturbjax.models.held_out_like import all_profiles, flat_values, held_out_like, make_folds
from perturbjax.models.low_rank import low_rank
from perturbjax.models.model import Masks, Model, Query, closed_form_of
from perturbjax.models.out_of_fold import out_of_fold, refitted
from perturbjax.models.own_readout import own_readout
from perturbjax.models.two_way import two_way
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

# The rules that a stack can hold.
RULES: dict[str, Callable[[], Model]] = {
    'no_change': no_change,
    'mean': mean,
    'context_mean': context_mean,
    'perturbation_mean': perturbation_mean,
    'additive': additive,
    'own_readout': own_readout,
    'two_way': two_way,
    'low_rank': low_rank,
}
DEFAULT = ('two_way', 'low_rank', 'context_mean', 'own_readout')
_STEPS = 2000


class Params(NamedTuple):
    """The params of C rules, and their weights."""

    rules: tuple[Any, ...]
    weight: Float[jax.Array, ' C']


def stack(rules: Sequence[str] = DEFAULT, num_folds: int = 5) -> Model:
    """The stack of some simple rules.

    Where a rule has no answer, the first one's counts in its place; with no profile to choose by, all weight is
    on the first.

    Args:
      rules: names of `RULES`; the first should answer for everything.
      num_folds: how many folds the weights are chosen by; the folds copy the split, see `held_out_like`.

    Raises:
      InputError: no such rule, or fewer than 2 folds.
    """
    for name in rules:
        if name not in RULES:
            raise InputError(f'models.stack.rules: no such rule {name!r}; {did_you_mean(name, RULES)}')
    check_range('models.stack', 1, rules=len(rules))
    check_range('models.stack', 2, num_folds=num_folds)
    each_rule = tuple(RULES[name]() for name in rules)

    def fit(compendium: Compendium, training: Masks) -> Params:
        if len(rules) == 1:
            return Params((closed_form_of(each_rule[0])(compendium, training),), jnp.ones(1))
        known = candidates(each_rule, compendium, training, num_folds)
        return Params(known.params, choose_weights(known.values, known.predicted, known.is_asked))

    def refit(params: Params, compendium: Compendium, training: Masks) -> Params:
        pairs = zip(each_rule, params.rules, strict=True)
        return params._replace(rules=tuple(refitted(rule, each, compendium, training) for rule, each in pairs))

    def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
        pairs = zip(each_rule, params.rules, strict=True)
        return weighted_sum(params.weight, filled([rule.predict(each, query) for rule, each in pairs]))

    return Model(fit, predict, refit=refit)


class Candidates(NamedTuple):
    """Rules to choose among: their params, and what they and the truth are for the N profiles.

    Attributes:
      params: of each rule, fitted on all training profiles.
      predicted: by each rule, out of fold.
      values: the truth; NaN where not measured.
      is_asked: which profiles stand for the held-out ones, and are to be chosen by.
    """

    params: tuple[Any, ...]
    predicted: tuple[Float[Array, 'N U'], ...]
    values: Float[Array, 'N U']
    is_asked: Bool[Array, ' N']


def candidates(rules: Sequence[Model], compendium: Compendium, training: Masks, num_folds: int) -> Candidates:
    """Fits the rules, on all training profiles and without each fold."""
    folds = make_folds(held_out_like(compendium, training), num_folds)
    params = tuple(closed_form_of(rule)(compendium, training) for rule in rules)
    predicted = tuple(
        out_of_fold(rule, each, compendium, training, folds) for rule, each in zip(rules, params, strict=True)
    )
    return Candidates(params, predicted, flat_values(compendium, all_profiles(compendium).readout), folds.number >= 0)


def filled(predicted: Sequence[Float[Array, 'N U']]) -> list[Float[jax.Array, 'N U']]:
    """The predictions of all candidates, those of the first where one has none."""
    return [jnp.where(jnp.isnan(each), predicted[0], each) for each in predicted]


def weighted_sum(weight: Float[Array, ' C'], predicted: Sequence[Float[jax.Array, 'N U']]) -> Float[jax.Array, 'N U']:
    """The sum of the candidates' predictions, each times its weight."""
    return sum((share * each for share, each in zip(weight, predicted, strict=True)), jnp.zeros(()))


def choose_weights(
    values: Float[Array, 'N U'], predicted: Sequence[Float[Array, 'N U']], is_asked: Bool[Array, ' N']
) -> Float[jax.Array, ' C']:
    """The weights of C candidates: those with the lowest mean L2, or all on one, see `single_unless_better`.

    Args:
      values: the truth; NaN where not measured.
      predicted: the candidates' predictions, out of fold.
      is_asked: which profiles count.
    """
    errors = jnp.stack([jnp.nan_to_num(values - each) for each in filled(predicted)])
    gram = jnp.einsum('cnu,dnu->ncd', errors, errors, precision='highest')
    gram = jnp.where(is_asked[:, None, None], gram, 0)
    return single_unless_better(gram, best_weights(gram), jnp.asarray(is_asked))


def single_unless_better(
    gram: Float[jax.Array, 'N C C'], weight: Float[jax.Array, ' C'], is_asked: Bool[jax.Array, ' N']
) -> Float[jax.Array, ' C']:
    """All weight on the best single rule, unless the weights are better by more than one standard error.

    A mixture that is no better only blurs what its best rule says of each perturbation.

    Args:
      gram: products of the errors of C rules for each profile.
      weight: of the rules.
      is_asked: which profiles count.
    """

    def l2(square: Float[jax.Array, '*N']) -> Float[jax.Array, '*N']:
        return jnp.sqrt(jnp.maximum(square, 0))

    each = l2(jnp.diagonal(gram, axis1=1, axis2=2))
    best = each.sum(axis=0).argmin()
    gain = each[:, best] - l2(gram @ weight @ weight)
    count = jnp.maximum(is_asked.sum(), 1)
    average = gain.sum() / count
    error = jnp.sqrt(jnp.where(is_asked, (gain - average) ** 2, 0).sum()) / count
    return jnp.where(average > error, weight, jnp.zeros_like(weight).at[best].set(1))


def best_weights(gram: Float[jax.Array, 'N C C']) -> Float[jax.Array, ' C']:
    """The weights on the simplex that minimise the sum of `sqrt(w' G_n w)`, by exponentiated gradient descent.

    Args:
      gram: products of the errors of C predictions, for each profile; 0 for a profile that does not count.

    Returns:
      The weights; all on the first prediction where no profile counts.
    """
    count = gram.shape[1]
    first = jnp.zeros(count, gram.dtype).at[0].set(1)

    def step(_: jax.Array, weight: Float[jax.Array, ' C']) -> Float[jax.Array, ' C']:
        towards = gram @ weight
        square = towards @ weight
        slope = jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0) @ towards
        total = jnp.sqrt(jnp.maximum(square, 0)).sum()
        moved = weight * jnp.exp(-0.5 * (slope - slope @ weight) / jnp.where(total > 0, total, 1))
        return moved / moved.sum()

    weight = jax.lax.fori_loop(0, _STEPS, step, jnp.full(count, 1 / count, gram.dtype))
    return jnp.where(gram.any(), weight, first)
