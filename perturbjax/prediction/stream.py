"""Predictions for any number of profiles: in bounded memory, with one compilation, on all devices of this host."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Float32, Int

from perturbjax.models.model import Params, Query
from perturbjax.progress import bar
from perturbjax.screens.arrays import Array

Predict = Callable[[Params, Query], Float[jax.Array, 'Q M']]
# Row numbers to context ids and perturbation ids.
Rows = Callable[[Int[np.ndarray, ' n']], tuple[Int[Array, ' n'], Int[Array, 'n K']]]

_AXIS = 'profiles'
# Tiles per call and device: so many that the cost of a call itself does not count.
_TILES = 16
# The most profiles of a tile: beside its values, a model may compare each profile with all that it was fitted on.
_PROFILES_PER_TILE = 256
# A shorter wait gets no progress bar, in seconds.
_BAR_AFTER = 3


class Predictor(NamedTuple):
    """A function to predict with, and its params.

    Attributes:
      predict: `(params, query) -> predictions`; what it answers for a profile depends on no other profile.
      params: the model's.
      tile_values: see `Model`.
    """

    predict: Predict
    params: Params
    tile_values: tuple[int, int]


def predict_profiles(predictor: Predictor, query: Query, title: str = '') -> Float32[np.ndarray, 'Q M']:
    """The predictions for the Q profiles of a query, on the host.

    As `stream`, with a progress bar of that title where it takes long.
    """
    contexts, perturbations = np.asarray(query.context), np.asarray(query.perturbation)
    profiles = len(contexts)
    answers = np.empty((profiles, len(query.readout)), np.float32)
    parts = stream(predictor, lambda rows: (contexts[rows], perturbations[rows]), profiles, query.readout)
    with bar(title, profiles, unit=' profiles', delay=_BAR_AFTER) as progress:
        for where, values in parts:
            answers[where] = values
            progress.update(len(values))
    return answers


def stream(
    predictor: Predictor,
    rows: Rows,
    profiles: int,
    readout: Int[Array, ' M'],
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[tuple[slice, Float32[np.ndarray, 'n M']]]:
    """Predictions for Q profiles, part by part: only the parts in work are in memory.

    While one part is with the caller, the next is being computed. Parts have few sizes, and
    `predict` is compiled once for each size.

    Args:
      predictor: what to predict with.
      rows: gives the ids of profiles by their numbers, 0 to Q - 1.
      profiles: Q.
      readout: ids.
      devices: L devices that share the profiles; all of this host's unless given.

    Yields:
      Which profiles, in order, and their values.
    """
    mesh = Mesh(np.array(devices or jax.local_devices()), (_AXIS,))
    values = predictor.tile_values[mesh.devices.flat[0].platform != 'cpu']
    tiles, tile = _tiling(profiles, len(readout), mesh.size, values)
    at_once = mesh.size * tiles * tile
    compiled = _compiled(predictor.predict, mesh)
    params, readout = jax.device_put((predictor.params, np.asarray(readout)), NamedSharding(mesh, PartitionSpec()))

    def ask(first: int) -> tuple[int, Float32[jax.Array, 'T n M']]:
        padded = np.minimum(np.arange(first, first + at_once), profiles - 1)
        context, perturbation = (each.reshape(-1, tile, *each.shape[1:]) for each in rows(padded))
        answer = compiled(params, context, perturbation, readout)
        answer.copy_to_host_async()
        return first, answer

    asked = map(ask, range(0, profiles, at_once))
    for (first, answer), _ in itertools.pairwise(itertools.chain(asked, [(profiles, None)])):
        last = min(first + at_once, profiles)
        yield slice(first, last), np.asarray(answer).reshape(at_once, -1)[: last - first]


@functools.lru_cache
def _compiled(predict: Predict, mesh: Mesh) -> Callable[[Params, Array, Array, Array], Float32[jax.Array, 'T n M']]:
    """`(params, context [T, n], perturbation [T, n, K], readout [M]) -> [T, n, M]`; the devices share the T tiles."""

    def on_device(
        params: Params,
        context: Int[jax.Array, 'T n'],
        perturbation: Int[jax.Array, 'T n K'],
        readout: Int[jax.Array, ' M'],
    ) -> Float32[jax.Array, 'T n M']:
        def of_tile(ids: tuple[Int[jax.Array, ' n'], Int[jax.Array, 'n K']]) -> Float32[jax.Array, 'n M']:
            return predict(params, Query(ids[0], ids[1], readout)).astype(jnp.float32)

        return jax.lax.map(of_tile, (context, perturbation))

    whole, shared = PartitionSpec(), PartitionSpec(_AXIS)
    # check_vma=False: the carry of a model's scan may start equal on all devices and then differ.
    return jax.jit(
        jax.shard_map(on_device, mesh=mesh, in_specs=(whole, shared, shared, whole), out_specs=shared, check_vma=False)
    )


def _tiling(profiles: int, readouts: int, devices: int, values: int) -> tuple[int, int]:
    """Tiles per call and device, and profiles per tile, for tiles of about so many values; both are powers of two."""
    each = -(-profiles // devices)
    room = min(_PROFILES_PER_TILE, max(1, values // readouts))
    tile = min(_power(each), _power(room // 2 + 1))
    return min(_TILES, _power(-(-each // tile))), tile


def _power(number: int) -> int:
    """The smallest power of two that is at least the number."""
    return 2 ** max(0, number - 1).bit_length()
