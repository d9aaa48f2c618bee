"""The predictions of CPA as profiles: the mean of what it makes of control cells."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from perturbjax.models.cells import NUM_CONTROLS, Keys, column_of, drawn_controls
from perturbjax.models.cpa.cells import Chosen, LabelledCells
from perturbjax.models.cpa.network import Autoencoder, CellBatch
from perturbjax.models.model import Query
from perturbjax.screens.screen import Screen
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING, Vocabulary

# What a predicted cell of counts is scaled to.
_TOTAL = 1e4


def tables(
    vocabulary: Vocabulary, screen: Screen, network: Autoencoder, values: scipy.sparse.csr_matrix,
    cells: LabelledCells, chosen: Chosen, keys: Keys,
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:  # fmt: skip
    """What makes of the trained autoencoder what predictions need.

    That is its weights, the basal states of control cells and control's profile; NaN where there is none.
    """
    contexts = len(vocabulary.contexts)
    control, embedded = np.full((contexts, network.num_genes), np.nan, np.float32), np.zeros(contexts, np.int32)
    embedded[screen.context] = cells.context
    totals = np.full((contexts, NUM_CONTROLS), np.nan, np.float32)
    profile = np.asarray(cells.profile)[chosen.control]
    drawn = drawn_controls(chosen.control, screen.context[profile], keys.controls)
    for each, some in drawn.items():
        totals[each] = np.asarray(cells.total)[some]
    control[screen.context[profile]] = screen.values[profile]
    known = {'totals': totals, 'control': control, 'embedded': embedded, 'column': column_of(vocabulary, screen)}

    encode = jax.jit(functools.partial(network.apply, method='encode'))

    def of_trained(kept: Mapping[str, Any]) -> dict[str, Any]:
        basal = np.full((contexts, NUM_CONTROLS, network.latent), np.nan, np.float32)
        variables = {'params': kept['weights'], 'batch_stats': kept['statistics']}
        for each, some in drawn.items():
            basal[each] = encode(variables, values[some].toarray().astype(np.float32))
        return {**kept, 'basal': basal, **known}

    return of_trained


def predict(
    sized: Callable[[int, int, int], Autoencoder], profile: str, params: Mapping[str, Any], query: Query
) -> Float[jax.Array, 'Q M']:
    """The mean over control cells of what the network makes of each, on a log scale; NaN where it cannot say.

    Args:
      sized: the network for so many readouts, perturbations and embedded contexts.
      profile: `released`: cells are scaled to 10,000. `change`: control's profile, plus the change from what the
        network makes of control, in cells that are scaled to the sum of the control cell that each is made from.
      params, query: see `Model`.
    """
    weights = params['weights']
    contexts = len(weights['context']) if 'context' in weights else 0
    network = sized(len(weights['to_mean']['bias']), len(weights['perturbation']), contexts)
    context, parts = jnp.asarray(query.context), jnp.asarray(query.perturbation)
    totals = jnp.asarray(params['totals'])
    totals = totals if profile == 'change' else jnp.full_like(totals, _TOTAL)
    answer = _of_controls(network, params, totals, context, parts)
    if profile == 'change':
        unchanged = jnp.full_like(parts, PADDING).at[:, 0].set(CONTROL_ID)
        answer -= _of_controls(network, params, totals, context, unchanged)
        answer += jnp.asarray(params['control'])[context]
    known = (jnp.asarray(params['is_known'])[jnp.maximum(parts, 0)] | (parts == PADDING)).all(axis=1)
    # On a CPU the ReLU of NaN may be 0.
    known &= ~jnp.isnan(jnp.asarray(params['totals'])[context]).any(axis=1)
    column = jnp.asarray(params['column'])[jnp.asarray(query.readout)]
    return jnp.where(known[:, None] & (column >= 0)[None, :], answer[:, column], jnp.nan)


def _of_controls(
    network: Autoencoder, params: Mapping[str, Any], totals: Float[jax.Array, 'C d'], context: Int[jax.Array, ' Q'],
    parts: Int[jax.Array, 'Q K'],
) -> Float[jax.Array, 'Q G']:  # fmt: skip
    """The mean over the control cells of each context of what the network makes of them."""
    variables = {'params': params['weights'], 'batch_stats': params['statistics']}

    def of_profile(asked: tuple[Int[jax.Array, ''], Float[jax.Array, ' D']]) -> Float[jax.Array, ' G']:
        latent = jnp.asarray(params['basal'])[asked[0]] + asked[1][None]
        mean, _ = network.apply(variables, latent, totals[asked[0]], method='decode')
        return (jnp.log1p(mean) if network.likelihood == 'nb' else mean).mean(axis=0)

    none, places = jnp.zeros((len(parts), 1)), jnp.asarray(params['embedded'])[context]
    batch = CellBatch(none, parts, jnp.ones(parts.shape), context, places, none[:, 0])
    return jax.lax.map(of_profile, (context, network.apply(variables, batch, method='added')))
