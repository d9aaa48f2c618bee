"""The golden numbers of GEARS under the names that the module gives them."""

import jax.numpy as jnp
import numpy as np

from perturbjax.models.gears.graphs import Graph, normalised
from perturbjax.models.gears.learning import CellBatch
from perturbjax.models.gears.network import Graphs

_MLPS = {
    'emb_trans_v2': 'gene_layers',
    'pert_fuse': 'fuse',
    'recovery_w': 'decode',
    'cross_gene_state': 'across',
    'uncertainty_w': 'log_variance',
}
_NORMS = {'bn_emb': 'gene_norm', 'bn_pert_base': 'cell_norm'}
_CONVOLUTIONS = {'layers_emb_pos': 'coexpression', 'sim_layers': 'ontology'}
_TABLES = {'gene_emb': 'gene', 'emb_pos': 'gene_position', 'pert_emb': 'perturbation'}
_LEAVES = {'running_mean': 'mean', 'running_var': 'variance'}
# Released but never used.
_UNUSED = ('pert_w', 'bn_pert_base_trans')


def _place(name):
    """Where a weight of torch's stands in the module; None for what is never used."""
    if name.startswith('indv_'):
        return ('params', name.removeprefix('indv_'))
    first, *rest = name.split('.')
    if first in _UNUSED or rest[-1] == 'num_batches_tracked':
        return None
    if first in _TABLES:
        return ('params', _TABLES[first])
    if first in _CONVOLUTIONS:
        return ('params', _CONVOLUTIONS[first], {'weight': 'kernel'}.get(rest[-1], rest[-1]))
    leaf, kind = rest[-1], 'batch_stats' if rest[-1] in _LEAVES else 'params'
    leaf = _LEAVES.get(leaf, leaf)
    if first in _NORMS:
        return (kind, _NORMS[first], {'weight': 'scale'}.get(leaf, leaf))
    layer, is_norm = divmod(int(rest[1]), 3)
    name = f'{"norm" if is_norm else "linear"}_{layer}'
    return (kind, _MLPS[first], name, {'weight': 'scale' if is_norm else 'kernel'}.get(leaf, leaf))


def from_torch(state, dtype):
    """The variables of the module: {'params': ..., 'batch_stats': ...}; what has no number is left out."""
    found = {'params': {}, 'batch_stats': {}}
    for name, value in state.items():
        place = _place(name)
        if place is None or value is None:
            continue
        array = np.asarray(value, dtype)
        array = array.T if place[-1] == 'kernel' else array
        shapes = {'w1': (array.shape[0], -1), 'b1': (-1,), 'b2': (-1,), 'w2': array.shape[1:]}
        array = array.reshape(shapes[place[-1]]) if place[-1] in shapes else array
        into = found
        for key in place[:-1]:
            into = into.setdefault(key, {})
        into[place[-1]] = jnp.asarray(array)
    return found


def graphs_of(numbers):
    """Both graphs, from the golden edges."""
    made = []
    for name, nodes in (('coexpression', 'genes'), ('go', 'perts')):
        source, target = np.array(numbers[name]['edge_index'])
        weight = np.array(numbers[name]['edge_weight'])
        made.append(normalised(Graph(source, target, weight), numbers['sizes'][nodes]))
    return Graphs(*made)


def batch_of(numbers, name, dtype):
    """A golden batch, padded to two parts."""
    batch = numbers[name]
    parts = np.full((len(batch['x']), 2), -1, np.int32)
    for row, ids in zip(parts, batch['pert_idx']):
        row[: len(ids)] = ids
    genes = np.zeros((len(parts), numbers['sizes']['genes']), bool)
    for row, condition in zip(genes, batch['condition']):
        row[numbers['nonzero_genes'].get(condition, range(len(row)))] = True
    control = np.broadcast_to(np.array(numbers['control_mean'], dtype), genes.shape)
    x, y = (jnp.asarray(np.array(batch[key], dtype)) for key in 'xy')
    condition = np.array([numbers['conditions'].index(each) for each in batch['condition']], np.int32)
    is_first = np.arange(len(parts)) == 0
    return CellBatch(x, y, *map(jnp.asarray, (parts, condition, genes, control, is_first)))
