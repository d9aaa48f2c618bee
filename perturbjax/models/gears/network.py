"""The network of GEARS (Roohani et al. 2024, cell-gears 0.1.2): a perturbed cell from a control cell and two graphs.

With e, q [G, H] two embeddings of genes, p [P, H] one of perturbations, and M linear layers with batch norms:

    h = M(ReLU(BN(e)) + 0.2 conv(q))                over the graph of co-expression
    t = M(sum of the parts' rows of conv(p))         over the graph of the gene ontology; h + t for a perturbed cell
    u = sum over H of M(ReLU(BN(h))) w1 + b1         a number for each gene
    y = u w2[:, 0] + M(u) w2[:, 1:]' + b2 + x

Released quirk: the edges of co-expression are those of the first cell of a batch only, so that for all others conv(q)
is a linear layer without neighbours (`graph_on='first'`). `'all'` gives every cell its neighbours.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Bool, Float, Int

from perturbjax.models.gears.graphs import Graph
from perturbjax.models.gears.layers import Mlp
from perturbjax.models.torch_layers import BatchNorm, linear
from perturbjax.screens.arrays import Array

GRAPH_ON = ('first', 'all')

# The tables whose rows are kept at a norm of at most 1.
TABLES = ('gene', 'gene_position', 'perturbation')

# The weights that a batch of control cells alone gives no gradient.
OF_PERTURBATIONS = ('perturbation', 'ontology', 'fuse')

_SHARE_OF_GRAPH = 0.2


class Graphs(NamedTuple):
    """The two graphs, normalised: of the genes by co-expression, of the perturbations by the gene ontology."""

    coexpression: Graph
    ontology: Graph


class Network(nn.Module):
    """GEARS from x [B, G], the control cells, to the perturbed cells [B, G].

    Attributes:
      num_genes, num_nodes: G, and the nodes P of the graph of perturbations.
      width: H.
      graph_on: which cells of a batch have the edges of co-expression, one of `GRAPH_ON`.
      uncertainty: whether there is a second output, a log variance for each value.
    """

    num_genes: int
    num_nodes: int
    width: int = 64
    graph_on: str = 'first'
    uncertainty: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'B G'],
        parts: Int[Array, 'B K'],
        is_first: Bool[Array, ' B'],
        graphs: Graphs,
        train: bool = False,
    ) -> tuple[Float[jax.Array, 'B G'], Float[jax.Array, 'B G'] | None]:
        """The predicted cells, and their log variance or None.

        Args:
          x: control cells, log scale.
          parts: the nodes of each cell's perturbation, padded with -1; of a control cell all are -1.
          is_first: which cell is the first of the batch.
          graphs: over G genes and P nodes.
          train: whether batch norm takes the statistics of the batch.
        """
        h = self._genes(is_first, graphs, train)
        effect, is_perturbed = self._effect(parts, graphs, train)
        h = h + jnp.where(is_perturbed[:, None], effect, 0)[:, None, :]
        h = nn.relu(BatchNorm(name='cell_norm')(h, None, train))
        width = self.width
        decoded = Mlp((width, 2 * width, width), name='decode')(h, None, train)
        prediction = self._readouts(decoded, train) + x
        if not self.uncertainty:
            return prediction, None
        spread = Mlp((width, 2 * width, width, 1), name='log_variance')(h, None, train)
        return prediction, spread[..., 0]

    def _genes(self, is_first: Bool[Array, ' B'], graphs: Graphs, train: bool) -> Float[jax.Array, 'B G H']:
        """The state of each gene before anything is perturbed: the same in all cells that see the same edges."""
        shape, cells = (self.num_genes, self.width), jnp.asarray(len(is_first), jnp.float32)
        gene, position = (self.param(name, initializers.normal(1.0), shape) for name in TABLES[:2])
        first = is_first.sum().astype(gene.dtype)
        kinds, counts = [propagate(graphs.coexpression, position)], cells.astype(gene.dtype)[None]
        if self.graph_on == 'first':
            kinds, counts = [*kinds, position], jnp.stack([first, counts[0] - first])
        neighbours = linear(self.width, self.width, 'coexpression')(jnp.stack(kinds))
        repeated = jnp.full(self.num_genes, cells, gene.dtype)
        own = nn.relu(BatchNorm(name='gene_norm')(gene, repeated, train))
        state = own[None] + _SHARE_OF_GRAPH * neighbours
        weight = jnp.broadcast_to(counts[:, None], state.shape[:2])
        state = Mlp((self.width,) * 3, name='gene_layers')(state, weight, train)
        kind = jnp.where(is_first, 0, len(kinds) - 1)
        return state[kind]

    def _effect(
        self, parts: Int[Array, 'B K'], graphs: Graphs, train: bool
    ) -> tuple[Float[jax.Array, 'B H'], Bool[jax.Array, ' B']]:
        """What a cell's perturbation adds to each of its genes; and which cells are perturbed."""
        table = self.param(TABLES[2], initializers.normal(1.0), (self.num_nodes, self.width))
        nodes = linear(self.width, self.width, 'ontology')(propagate(graphs.ontology, table))
        is_part = jnp.asarray(parts) >= 0
        effect = jnp.where(is_part[..., None], nodes[jnp.maximum(parts, 0)], 0).sum(axis=1)
        is_perturbed = is_part.any(axis=1)
        fuse = Mlp((self.width,) * 3, name='fuse')
        return fuse(effect, is_perturbed.astype(table.dtype), train), is_perturbed

    def _readouts(self, decoded: Float[jax.Array, 'B G H'], train: bool) -> Float[jax.Array, 'B G']:
        """The change of each gene: by itself, and by the state of all genes of the cell."""
        genes, width = self.num_genes, self.width
        narrow = initializers.normal((2 / (genes + 1)) ** 0.5)
        w1 = self.param('w1', initializers.normal((2 / (genes + width)) ** 0.5), (genes, width))
        w2 = self.param('w2', initializers.normal((2 / ((genes + 1) * (width + 1))) ** 0.5), (genes, 1 + width))
        b1, b2 = (self.param(name, narrow, (genes,)) for name in ('b1', 'b2'))
        each = (decoded * w1[None]).sum(axis=-1) + b1[None]
        across = Mlp((genes, width, width), name='across')(each, None, train)
        return each * w2[None, :, 0] + across @ w2[:, 1:].T + b2[None]


def propagate(graph: Graph, x: Float[Array, 'n H']) -> Float[jax.Array, 'n H']:
    """The normalised adjacency times x: each node's sum over the nodes that point at it."""
    moved = jnp.asarray(x)[graph.source] * jnp.asarray(graph.weight, x.dtype)[:, None]
    return jax.ops.segment_sum(moved, jnp.asarray(graph.target), num_segments=len(x))


def renormalised(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights with the rows of each table scaled to a norm of at most 1: before every forward pass.

    The gradient is that at the scaled rows, and it is these that an optimizer moves.
    """

    def scaled(table: Float[Array, 'n H']) -> Float[jax.Array, 'n H']:
        norm = jnp.sqrt((table**2).sum(axis=1))
        return jnp.where(norm > 1, 1 / (norm + 1e-7), 1)[:, None].astype(table.dtype) * table

    return {name: scaled(each) if name in TABLES else each for name, each in weights.items()}
