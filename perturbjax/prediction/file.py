"""The file of predictions: profiles x readouts, one layer per model; scanpy opens it as it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
from absl import logging
from jaxtyping import Bool

from perturbjax.errors import InputError, listed
from perturbjax.models.model import Query
from perturbjax.prediction.layers import Layer
from perturbjax.prediction.stream import predict_profiles
from perturbjax.readers.table import read_matrix
from perturbjax.screens.replicates import Replicates, replicates
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, Split
from perturbjax.screens.vocabulary import Vocabulary, combine, parts


class Block(NamedTuple):
    """Profiles to predict over one panel of readouts.

    Attributes:
      data: names in `obs` and `var`; layers as they are added.
      query: the ids of those profiles whose names are all in the vocabulary.
      is_known: which of all N profiles they are.
    """

    data: anndata.AnnData
    query: Query
    is_known: Bool[np.ndarray, ' N']


def held_out(compendium: Compendium, split: Split) -> list[Block]:
    """The test profiles of a split, one block for each screen that has any, with the layer `truth`.

    What is known of the rows behind the profiles (see `screens.replicates`) is beside it.
    """
    table = compendium.table()
    table = table.assign(split=split.seed, test=np.concatenate(split.roles) == TEST)
    blocks = []
    for screen in compendium.screens:
        tested = table[(table['screen'] == screen.name) & table['test']]
        if len(tested):
            data = _empty(tested, [compendium.vocabulary.readouts[i] for i in screen.readout])
            rows = tested['row'].to_numpy()
            data.layers['truth'] = screen.values[rows]
            _add_replicates(data, replicates(screen, rows))
            query = Query(screen.context[rows], screen.perturbation[rows], screen.readout)
            blocks.append(Block(data, query, np.ones(len(rows), bool)))
    return blocks


def _add_replicates(data: anndata.AnnData, known: Replicates) -> None:
    """Numbers of rows go to obs, all else to layers."""
    for name, values in known._asdict().items():
        if values.ndim == 1:
            data.obs[name] = values.astype(np.int32)
        else:
            data.layers[name] = values.astype(np.float32)


def asked_for(path: str, vocabulary: Vocabulary, split: int) -> Block:
    """The profiles that a table with the columns context and perturbation asks for, over all readouts.

    A profile with a name outside the vocabulary stays in, with a warning; its predictions will be NaN.
    """
    table = read_matrix(path)
    for column in ('context', 'perturbation'):
        if column not in table:
            raise InputError(f'{path}: no column {column!r}; it has {listed(table.columns)}.')
    rows = pd.DataFrame(
        {
            'screen': 'asked',
            'context': table['context'].astype(str),
            'perturbation': [combine(parts(str(name))) for name in table['perturbation']],
            'split': split,
        }
    )
    is_known = rows['context'].isin(vocabulary.contexts) & vocabulary.knows_perturbation(rows['perturbation'])
    if not is_known.all():
        names = (rows['perturbation'] + ' in ' + rows['context'])[~is_known]
        logging.warning(
            '%s: %d of %d profiles have a name outside the vocabulary and get no prediction: %s',
            path, len(names), len(rows), listed(names),
        )  # fmt: skip
    query = Query(
        vocabulary.context_ids(rows['context'][is_known]),
        vocabulary.perturbation_ids(rows['perturbation'][is_known]),
        np.arange(len(vocabulary.readouts), dtype=np.int32),
    )
    return Block(_empty(rows, vocabulary.readouts), query, is_known.to_numpy())


def _empty(rows: pd.DataFrame, readouts: Sequence[str]) -> anndata.AnnData:
    """The named profiles x readouts, without a layer."""
    obs = rows[['screen', 'context', 'perturbation', 'split']].copy()
    obs.index = pd.Index(
        obs['split'].astype(str) + '/' + obs['screen'] + '/' + obs['context'] + '/' + obs['perturbation']
    )
    return anndata.AnnData(obs=obs, var=pd.DataFrame(index=pd.Index(list(readouts), dtype=object)))


def add_layer(blocks: Iterable[Block], layer: Layer) -> None:
    """Adds a layer of predictions to every block; NaN for a profile with a name outside the vocabulary."""
    predictor = layer.predictor()
    for block in blocks:
        values = np.full(block.data.shape, np.nan, np.float32)
        if block.is_known.any():
            values[block.is_known] = predict_profiles(predictor, block.query, layer.label)
        block.data.layers[layer.label] = values


def stack(blocks: Sequence[Block], models: Sequence[str], scales: Mapping[str, str]) -> anndata.AnnData:
    """All blocks as one AnnData over the union of their panels, NaN where a screen does not measure.

    Args:
      blocks: as they are, with their layers.
      models, scales: see `file_metadata`.
    """
    stacked = anndata.concat([block.data for block in blocks], join='outer', fill_value=np.nan)
    stacked.uns.update(file_metadata(models, scales))
    return stacked


def file_metadata(models: Iterable[str], scales: Mapping[str, str]) -> dict[str, Any]:
    """What `uns` says of predictions: the models' labels in order, and the scale of each screen and its unit."""
    units = {screen: find_scale(scale).unit for screen, scale in scales.items()}
    return {'models': list(models), 'scale': dict(scales), 'unit': units}
