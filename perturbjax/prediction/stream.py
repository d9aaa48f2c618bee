"""Predictions for any number of profiles: in bounded memory, with one compilation, on all devices of this host."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from perturbjax.models.lpm import Fitted
from perturbjax.models.model import Params, Query
from perturbjax.progress import bar
from perturbjax.screens.screen import Array

Predict = Callable[[Params, Query], jax.Array]
# Row numbers `[n]` to context ids `[n]` and perturbation ids `[n, K]`.
Rows = Callable[[np.ndarray], tuple[Array, Array]]

_AXIS = 'profiles'
# Per call and device; so many that what a call costs beside them does not count.
_TILES = 16
# Profiles per tile: beside its values a model may compare each with all that it was fitted on.
_MOST = 256
# Less than this is not worth a progress bar, in seconds.
_SOON = 3


def predict_profiles(predict: Predict, params: Params, query: Query, title: str = '') -> np.ndarray:
    """`predict` over the Q profiles of a query on the host, float32 `[Q, M]`, with a progress bar where it takes long.

    As `stream`: compiled once for splits of about one size.
    """
    contexts, perturbations = np.asarray(query.context), np.asarray(query.perturbation)
    profiles = len(contexts)
    answers = np.empty((profiles, len(query.readout)), np.float32)
    parts = stream(predict, params, lambda rows: (contexts[rows], perturbations[rows]), profiles, query.readout)
    with bar(title, profiles, unit=' profiles', delay=_SOON) as progress:
        for where, values in parts:
            answers[where] = values
            progress.update(len(values))
    return answers


def stream(
    predict: Predict,
    params: Params,
    rows: Rows,
    profiles: int,
    readout: Array,
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Predictions for Q profiles of which nothing is held but those in work.

    While a part is with the caller, the next is being computed. Parts are of few sizes, and
    `predict` is compiled once for each.

    Args:
      predict: a model's; what it answers for a profile depends on no other profile.
      params: the model's.
      rows: tells the ids of profiles by their numbers, 0 to Q - 1.
      profiles: Q.
      readout: ids `[M]`.
      devices: L devices that share the profiles, all of this host's unless given.

    Yields:
      Which profiles, in order, and their values, float32 `[n, M]`.
    """
    mesh = Mesh(np.array(devices or jax.local_devices()), (_AXIS,))
    tiles, tile = _tiling(profiles, len(readout), mesh.size, _values_at_once(params, mesh))
    at_once = mesh.size * tiles * tile
    compiled = _compiled(predict, mesh)
    params, readout = jax.device_put((params, np.asarray(readout)), NamedSharding(mesh, PartitionSpec()))

    def ask(first: int) -> tuple[int, jax.Array]:
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
def _compiled(predict: Predict, mesh: Mesh) -> Callable[[Params, Array, Array, Array], jax.Array]:
    """`(params, context [T, n], perturbation [T, n, K], readout [M]) -> [T, n, M]`, T tiles shared by the devices."""

    def on_device(params: Params, context: jax.Array, perturbation: jax.Array, readout: jax.Array) -> jax.Array:
        def of_tile(ids: tuple[jax.Array, jax.Array]) -> jax.Array:
            return predict(params, Query(ids[0], ids[1], readout)).astype(jnp.float32)

        return jax.lax.map(of_tile, (context, perturbation))

    whole, shared = PartitionSpec(), PartitionSpec(_AXIS)
    # A model's scan need not start from a carry that is known to differ between devices: not checked.
    return jax.jit(
        jax.shard_map(on_device, mesh=mesh, in_specs=(whole, shared, shared, whole), out_specs=shared, check_vma=False)
    )


def _values_at_once(params: Params, mesh: Mesh) -> int:
    """How many values a tile may have.

    LPM has hundreds of hidden activations for each, which stay in a CPU's cache if they are few;
    other models go through their tables once for every tile, so there they are many.
    """
    if not isinstance(params, Fitted):
        return 2**18
    return 2**11 if mesh.devices.flat[0].platform == 'cpu' else 2**17


def _tiling(profiles: int, readouts: int, devices: int, values: int) -> tuple[int, int]:
    """Tiles per call and device, and profiles per tile; powers of two."""
    each = -(-profiles // devices)
    room = min(_MOST, max(1, values // readouts))
    tile = min(_power(each), _power(room // 2 + 1))
    return min(_TILES, _power(-(-each // tile))), tile


def _power(number: int) -> int:
    """The least power of two that is not below the number."""
    return 2 ** max(0, number - 1).bit_length()
