"""The file of predictions: profiles x readouts, one layer per model; scanpy opens it as it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
from absl import logging
from jaxtyping import Bool

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.models.model import Query
from perturbjax.prediction.layers import BY_FEATURES, X_LAYER, Layer, choose_x
from perturbjax.prediction.stream import predict_profiles
from perturbjax.readers.asked import Forms, KnownNames
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import read_matrix
from perturbjax.screens.replicates import Replicates, replicates
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, Split
from perturbjax.screens.vocabulary import Vocabulary


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


def read_queries(path: str, vocabulary: Vocabulary, forms: Forms) -> pd.DataFrame:
    """The columns context and perturbation of a table of queries, with names as the vocabulary writes them.

    Names may have any of the forms that the files of the config may have (see `readers.asked`). A name
    outside the vocabulary stays in, with a warning; its predictions will be NaN.

    Args:
      path: the table.
      vocabulary: of the models.
      forms: how perturbations may be written.

    Raises:
      InputError: the table cannot be read, or has no such columns.
    """
    table = read_matrix(path)
    for column in ('context', 'perturbation'):
        if column not in table:
            raise InputError(f'{path}: no column {column!r}; it has {listed(table.columns)}.')
    known = KnownNames(vocabulary, forms)
    written = texts(table['perturbation'])
    names = {name: known.find(name) for name in dict.fromkeys(written)}
    contexts = [known.context(name) for name in texts(table['context'])]
    rows = pd.DataFrame({'context': contexts, 'perturbation': [names[name] for name in written]})
    _tell_unknown(path, rows[~_are_known(rows, vocabulary)], len(rows), vocabulary, known.unclear(names))
    return rows


def _are_known(rows: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    in_vocabulary = rows['context'].isin(vocabulary.contexts) & vocabulary.knows_perturbation(rows['perturbation'])
    return in_vocabulary.to_numpy()


def _tell_unknown(
    path: str, rows: pd.DataFrame, asked: int, vocabulary: Vocabulary, unclear: Mapping[str, Sequence[str]]
) -> None:
    """Warns of queries with a name outside the vocabulary, and of names whose type is not clear."""
    if len(rows):
        strange = set(rows['context']) - set(vocabulary.contexts)
        hint = f'; {did_you_mean(min(strange), vocabulary.contexts)}' if strange else ''
        logging.warning(
            '%s: %d of %d profiles have a name outside the vocabulary and get no prediction: %s%s',
            *(path, len(rows), asked, listed(rows['perturbation'] + ' in ' + rows['context']), hint),
        )
    for name, options in unclear.items():
        logging.warning('%s: %r may be %s; write which one.', path, name, listed(options))


def asked_for(queries: pd.DataFrame, vocabulary: Vocabulary, split: int) -> Block:
    """The profiles that `read_queries` gives, over all readouts, to be predicted by the models of a split."""
    is_known = _are_known(queries, vocabulary)
    query = Query(
        vocabulary.context_ids(queries['context'][is_known]),
        vocabulary.perturbation_ids(queries['perturbation'][is_known]),
        np.arange(len(vocabulary.readouts), dtype=np.int32),
    )
    return Block(_empty(queries.assign(screen='asked', split=split), vocabulary.readouts), query, is_known)


def _empty(rows: pd.DataFrame, readouts: Sequence[str]) -> anndata.AnnData:
    """The named profiles x readouts, without a layer."""
    obs = rows[['screen', 'context', 'perturbation', 'split']].copy()
    obs.index = pd.Index(
        obs['split'].astype(str) + '/' + obs['screen'] + '/' + obs['context'] + '/' + obs['perturbation']
    )
    return anndata.AnnData(obs=obs, var=pd.DataFrame(index=pd.Index(list(readouts), dtype=object)))


def add_layer(blocks: Iterable[Block], layer: Layer) -> None:
    """Adds a layer of predictions to every block; NaN for a profile with a name outside the vocabulary.

    Where the model has features, the column `LABEL_by_features` of obs says which predictions rest on them alone.
    """
    predictor = layer.predictor()
    for block in blocks:
        values = np.full(block.data.shape, np.nan, np.float32)
        if block.is_known.any():
            values[block.is_known] = predict_profiles(predictor, block.query, layer.label)
        block.data.layers[layer.label] = values
        marks = layer.marks(block.query)
        if marks is not None:
            column = np.zeros(len(values), bool)
            column[block.is_known] = marks
            block.data.obs[f'{layer.label}{BY_FEATURES}'] = column


def stack(blocks: Sequence[Block], models: Sequence[str], scales: Mapping[str, str]) -> anndata.AnnData:
    """All blocks as one AnnData over the union of their panels, NaN where a screen does not measure.

    X is the layer that `layers.choose_x` chooses, and `uns['X_layer']` names it.

    Args:
      blocks: as they are, with their layers.
      models, scales: see `file_metadata`.
    """
    stacked = anndata.concat([block.data for block in blocks], join='outer', fill_value=np.nan)
    stacked.uns.update(file_metadata(models, scales))
    if models:
        label = choose_x({name: bool(np.isnan(stacked.layers[name]).any()) for name in models})
        stacked.X, stacked.uns[X_LAYER] = stacked.layers[label], label
    return stacked


def file_metadata(models: Iterable[str], scales: Mapping[str, str]) -> dict[str, Any]:
    """What `uns` says of predictions: the models' labels in order, and the scale of each screen and its unit."""
    units = {screen: find_scale(scale).unit for screen, scale in scales.items()}
    return {'models': list(models), 'scale': dict(scales), 'unit': units}
