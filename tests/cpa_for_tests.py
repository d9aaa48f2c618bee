"""The golden numbers of CPA under the names that the module gives them."""

import jax.numpy as jnp
import numpy as np

from perturbjax.models.cpa.losses import Guessed
from perturbjax.models.cpa.network import CellBatch

_LEAVES = {'running_mean': 'mean', 'running_var': 'variance'}
# Released, but without a gradient: nothing that is predicted depends on them.
_UNUSED = ('px_r_decoder', 'px_dropout_decoder')
_FIXED = {
    'px_r': ('dispersion',),
    'pert_network.pert_embedding.weight': ('perturbation',),
    'pert_network.dosers.beta': ('doser_slope',),
    'pert_network.dosers.bias': ('doser_shift',),
    'covars_embeddings.cell_line.weight': ('context',),
}
# What stands in front of the name of a block, and where it is.
_BLOCKS = {
    'encoder.network.fc_layers': 'encoding',
    'decoder.px_decoder.fc_layers': 'decoding',
    'decoder.encoder.fc_layers': 'decoding',
    'perturbation_classifier.classifier.0.fc_layers': 'condition_blocks',
    'covars_classifiers.cell_line.classifier.0.fc_layers': 'context_blocks',
}
_LAYERS = {
    'encoder.z': 'to_latent',
    'decoder.px_scale_decoder.0': 'to_mean',
    'decoder.mean_encoder': 'to_mean',
    'decoder.var_encoder': 'to_variance',
    'perturbation_classifier.classifier.1': 'condition_logits',
    'covars_classifiers.cell_line.classifier.1': 'context_logits',
}


def _place(name):
    """Where a weight of torch's stands in the module; None for what is never used."""
    if any(unused in name for unused in _UNUSED) or name.endswith('num_batches_tracked'):
        return None
    if name in _FIXED:
        return ('params', *_FIXED[name])
    owner, leaf = name.rsplit('.', 1)
    if owner in _LAYERS:
        return ('params', _LAYERS[owner], {'weight': 'kernel'}.get(leaf, leaf))
    blocks, _, number = owner.partition('.Layer ')
    if blocks not in _BLOCKS:
        return None
    layer, is_norm = (int(each) for each in number.split('.'))
    kind, leaf = 'batch_stats' if leaf in _LEAVES else 'params', _LEAVES.get(leaf, leaf)
    leaf = {'weight': 'scale' if is_norm else 'kernel'}.get(leaf, leaf)
    return (kind, _BLOCKS[blocks], f'{"norm" if is_norm else "linear"}_{layer}', leaf)


def from_torch(state, dtype, doser='linear'):
    """The variables of the module: {'params': ..., 'batch_stats': ...}; what has no number is left out."""
    found = {'params': {}, 'batch_stats': {}}
    for name, value in state.items():
        name = f'perturbation_classifier.{name}' if name.startswith('classifier.') else name
        place = _place(name)
        if place is None or value is None or (doser == 'linear' and place[-1].startswith('doser_')):
            continue
        array = np.asarray(value, dtype)
        array = array.T if place[-1] == 'kernel' else array
        if place[-1].startswith('doser_') or place[-1] == 'perturbation':
            array = array.reshape(-1, 9).T[1:, 0] if 'doser' in place[-1] else array[1:]  # row 0 is padding
        into = found
        for key in place[:-1]:
            into = into.setdefault(key, {})
        into[place[-1]] = jnp.asarray(array)
    return found


def batch_of(numbers, index, dtype, **changes):
    """A golden batch; torch counts perturbations from 1, and 0 is padding."""
    batch = {**numbers['batches'][index], **changes}
    x, parts, dose, condition, context = (
        np.array(batch[name]) for name in ('X', 'perts', 'perts_doses', 'condition', 'cell_line')
    )
    ids = (each.astype(np.int32) for each in (parts - 1, condition[:, 0], context[:, 0]))
    parts, condition, context = ids
    whole = CellBatch(x.astype(dtype), parts, dose.astype(dtype), condition, context, np.ones(len(x), dtype))
    return CellBatch(*map(jnp.asarray, whole))


def guessed_of(numbers, batch, contexts=0):
    """What the adversary is asked; contexts count alike."""
    weights = (np.array(numbers['class_weights']), np.ones(contexts))
    number = 2 if contexts else 1
    return Guessed((batch.condition, batch.context)[:number], weights[:number])
