"""The file of predictions: profiles x readouts, one layer per model; scanpy opens it as it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import anndata
import jax
import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.models import Query
from perturbjax.models.model import Params
from perturbjax.prediction.stream import predict_profiles
from perturbjax.readers.table import read_matrix
from perturbjax.screens.replicates import Replicates, replicates
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, Split
from perturbjax.screens.vocabulary import Vocabulary, combine, parts


def held_out(compendium: Compendium, split: Split) -> list[anndata.AnnData]:
    """The test profiles of a split, one AnnData per screen that has any, with the layer `truth`.

    What is known of the rows behind them (see `screens.replicates`) stands beside it.
    """
    table = compendium.table()
    table = table.assign(split=split.seed, test=np.concatenate(split.roles) == TEST)
    blocks = []
    for screen in compendium.screens:
        rows = table[(table['screen'] == screen.name) & table['test']]
        if len(rows):
            block = _block(rows, [compendium.vocabulary.readouts[i] for i in screen.readout])
            places = rows['row'].to_numpy()
            block.layers['truth'] = screen.values[places]
            _add_replicates(block, replicates(screen, places))
            blocks.append(block)
    return blocks


def _add_replicates(block: anndata.AnnData, known: Replicates) -> None:
    """Numbers of rows go to obs, all else to layers."""
    for name, values in known._asdict().items():
        if values.ndim == 1:
            block.obs[name] = values.astype(np.int32)
        else:
            block.layers[name] = values.astype(np.float32)


def asked_for(path: str, vocabulary: Vocabulary, split: int) -> anndata.AnnData:
    """The profiles that a table with the columns context and perturbation asks for, over all readouts.

    A name outside the vocabulary stays in and is told; its predictions will be NaN.
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
    unknown = ~(rows['context'].isin(vocabulary.contexts) & vocabulary.knows_perturbation(rows['perturbation']))
    if unknown.any():
        names = (rows['perturbation'] + ' in ' + rows['context'])[unknown]
        logging.warning(
            '%s: %d of %d profiles have a name outside the vocabulary and get no prediction: %s',
            path, unknown.sum(), len(rows), listed(names),
        )  # fmt: skip
    return _block(rows, vocabulary.readouts)


def _block(rows: pd.DataFrame, readouts: Sequence[str]) -> anndata.AnnData:
    obs = rows[['screen', 'context', 'perturbation', 'split']].copy()
    obs.index = pd.Index(
        obs['split'].astype(str) + '/' + obs['screen'] + '/' + obs['context'] + '/' + obs['perturbation']
    )
    return anndata.AnnData(obs=obs, var=pd.DataFrame(index=pd.Index(list(readouts), dtype=object)))


def to_query(block: anndata.AnnData, vocabulary: Vocabulary) -> tuple[Query, np.ndarray]:
    """The query of the profiles whose names are in the vocabulary, and which they are, bool `[Q]`."""
    obs = block.obs
    known = obs['context'].isin(vocabulary.contexts).to_numpy() & vocabulary.knows_perturbation(obs['perturbation'])
    query = Query(
        context=vocabulary.context_ids(obs['context'][known]),
        perturbation=vocabulary.perturbation_ids(obs['perturbation'][known]),
        readout=vocabulary.readout_ids(block.var_names),
    )
    return query, known


def add_layer(
    blocks: Sequence[anndata.AnnData],
    label: str,
    predict: Callable[[Params, Query], jax.Array],
    params: Params,
    vocabulary: Vocabulary,
) -> None:
    """Adds a model's predictions as a layer; NaN for a profile with a name outside the vocabulary."""
    for block in blocks:
        query, known = to_query(block, vocabulary)
        block.layers[label] = np.full(block.shape, np.nan, np.float32)
        if known.any():
            block.layers[label][known] = predict_profiles(predict, params, query, label)


def stack(blocks: Sequence[anndata.AnnData], models: Sequence[str], scales: Mapping[str, str]) -> anndata.AnnData:
    """All blocks as one AnnData over the union of their panels, NaN where a screen does not measure; see `facts`."""
    stacked = anndata.concat(blocks, join='outer', fill_value=np.nan)
    stacked.uns.update(facts(models, scales))
    return stacked


def facts(models: Iterable[str], scales: Mapping[str, str]) -> dict[str, Any]:
    """What `uns` says of predictions: the models' names in order, and the scale of each screen and its unit."""
    units = {screen: find_scale(scale).unit for screen, scale in scales.items()}
    return {'models': list(models), 'scale': dict(scales), 'unit': units}
