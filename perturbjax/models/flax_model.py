"""A Flax module over (context, perturbation, readout) as a learned model: LPM, or a network of your own."""

import inspect
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from perturbjax.models.dropout import Noise
from perturbjax.models.model import Batch, Constants, Fitted, Learner, Masks, Model, Query, Statistics, Weights
from perturbjax.models.training_counts import AXES, by_features, is_trained, training_counts
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

# Values of a tile, on a CPU and on an accelerator: hundreds of activations for each stay in a CPU's cache.
_SMALL_TILES = (2**11, 2**17)


class Sizes(NamedTuple):
    """How many names each axis of the vocabulary has: the rows of embedding tables."""

    num_contexts: int
    num_perturbations: int
    num_readouts: int


def flax_model(
    module: Callable[[Sizes], nn.Module],
    dropout: float = 0.0,
    row_tables: tuple[str, ...] = (),
    tile_values: tuple[int, int] = _SMALL_TILES,
    features: Callable[[Compendium, Masks], Constants] | None = None,
) -> Model:
    """A learned model with squared error, from a Flax module.

    It trains, validates, resumes, predicts and fills the grid as LPM does, on any number of devices.
    A name that no training profile had and that has no features gets no prediction (NaN). Several
    `training.seeds` predict their mean.

    Args:
      module: makes the module for the sizes of a vocabulary. Its `__call__(context, perturbation, readout)`
        takes ids that broadcast, `[...]`, `[..., K]` (padded with -1) and `[...]`, and returns predictions
        `[...]`. It may also take the keywords `noise`, from which `models.dropout.relu_dropout` draws (None
        outside training), `train`, a bool, as batch norm needs it, and `features`, `{axis: [rows, F]}`.
      dropout: the rate that `noise` starts from.
      row_tables: see `Learner`; parameters of the module `[rows, D]`, called `perturbation` or `readout`.
      tile_values: see `Model`.
      features: what is known of names from elsewhere, as `models.features.feature_reader` makes it.

    Example:
      >>> import flax.linen as nn
      >>> class Sum(nn.Module):
      ...     sizes: Sizes
      ...
      ...     @nn.compact
      ...     def __call__(self, context, perturbation, readout):
      ...         effect = nn.Embed(self.sizes.num_perturbations, 1)(jnp.maximum(perturbation, 0))[..., 0]
      ...         effect = jnp.where(perturbation < 0, 0, effect).sum(axis=-1)
      ...         return effect + nn.Embed(self.sizes.num_readouts, 1)(readout)[..., 0]
      >>> model = flax_model(Sum)
    """
    network = _Network(module, row_tables)

    def each_member(fitted: Fitted, query: Query) -> Float[jax.Array, 'S Q M']:
        grid = query.context[:, None], query.perturbation[:, None, :], query.readout[None, :]

        def of_member(variables: tuple[Weights, Statistics]) -> Float[jax.Array, 'Q M']:
            return network.apply(*variables, fitted.constants, grid)

        variables = fitted.weights, fitted.statistics
        if fitted.num_members == 1:
            return of_member(jax.tree.map(lambda each: each[0], variables))[None]
        return jax.lax.map(of_member, variables)

    def predict(fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        return jnp.where(is_trained(fitted.constants, query), each_member(fitted, query).mean(axis=0), jnp.nan)

    def spread(fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        return jnp.where(is_trained(fitted.constants, query), each_member(fitted, query).std(axis=0), jnp.nan)

    def prepare(compendium: Compendium, training: Masks) -> Constants:
        known = {} if features is None else features(compendium, training)
        return {**training_counts(compendium, training), **known}

    learner = Learner(prepare, network.init, network.loss, network.error, dropout=dropout, row_tables=row_tables)
    model = Model(None, predict, learner, spread, operator.attrgetter('num_members'), tile_values)
    return model if features is None else model._replace(by_features=lambda fitted: by_features(fitted.constants))


class _Network(NamedTuple):
    """The pure functions of a module; see `Learner`."""

    module: Callable[[Sizes], nn.Module]
    row_tables: tuple[str, ...]

    def init(self, key: Key[jax.Array, ''], constants: Constants) -> tuple[Weights, Statistics]:
        ids = jnp.zeros(1, jnp.int32)
        module = self._sized({}, constants)
        options = _accepted(module, features=constants.get('features', {}))
        variables = dict(module.init(key, ids, ids[:, None], ids, **options))
        return variables.pop('params'), variables

    def loss(
        self, weights: Weights, statistics: Statistics, constants: Constants, batch: Batch, noise: Noise | None
    ) -> tuple[Float[jax.Array, ''], Statistics]:
        module, ids = self._sized(weights, constants), (batch.context, batch.perturbation, batch.readout)
        options = _accepted(module, noise=noise, train=True, features=constants.get('features', {}))
        prediction, statistics = module.apply(
            {'params': weights, **statistics}, *ids, **options, mutable=list(statistics)
        )
        return _squared_error(prediction, batch), dict(statistics)

    def error(
        self, weights: Weights, statistics: Statistics, constants: Constants, batch: Batch
    ) -> Float[jax.Array, '']:
        ids = batch.context, batch.perturbation, batch.readout
        return _squared_error(self.apply(weights, statistics, constants, ids), batch)

    def apply(
        self,
        weights: Weights,
        statistics: Statistics,
        constants: Constants,
        ids: tuple[Int[Array, '*#batch'], Int[Array, '*#batch K'], Int[Array, '*#batch']],
    ) -> Float[jax.Array, '*batch']:
        """The predictions for ids that broadcast, as outside training."""
        module = self._sized(weights, constants)
        options = _accepted(module, noise=None, train=False, features=constants.get('features', {}))
        return cast(jax.Array, module.apply({'params': weights, **statistics}, *ids, **options))

    def _sized(self, weights: Weights, constants: Constants) -> nn.Module:
        """The module for the vocabulary; for row tables of which only some rows are there, for those."""
        rows = {axis: len(constants[f'{axis}_counts']) for axis in AXES}
        rows |= {name: len(weights[name]) for name in self.row_tables if name in weights}
        return self.module(Sizes(*rows.values()))


def _accepted(module: nn.Module, **options: Any) -> dict[str, Any]:
    """Those of the options that the module's `__call__` takes."""
    known = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in options.items() if name in known}


def _squared_error(prediction: Float[jax.Array, '*shape'], batch: Batch) -> Float[jax.Array, '']:
    """The weighted sum over the batch's observations."""
    return (batch.weight * (prediction - batch.value) ** 2).sum()
