"""The table of a batch: what to measure next, and what it would teach."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.models.model import Masks, Model, Params, Query
from perturbjax.planning.candidates import measured
from perturbjax.planning.disagreement import disagreement
from perturbjax.planning.greedy import Effects, Rows, choose
from perturbjax.planning.kernel_effects import kernel_effects
from perturbjax.planning.ridge_effects import ridge_effects
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import Vocabulary

# Rules that say how sure they are, by the names of `models.MODELS`.
SURE = ('two_way', 'kernel')


def model_to_ask(asked: str, kinds: Mapping[str, str], models: Mapping[str, Model]) -> str:
    """The label of the model that says what to measure; see `settings.Next`.

    Args:
      asked: a label, or nothing.
      kinds: the name in `models.MODELS` that each label of the config stands for.
      models: by label.

    Raises:
      InputError: no such label, or nothing there says how sure it is.
    """
    ensembles = [label for label, model in models.items() if model.spread is not None]
    sure = [label for label in models if kinds.get(label, label) in SURE]
    if asked and asked not in models:
        raise InputError(f'next.model: no such label {asked!r}; {did_you_mean(asked, models)}')
    if not (asked in [*sure, *ensembles] if asked else sure or ensembles):
        raise InputError(
            f'next.model: {listed([asked] if asked else models)} does not say how sure it is; add one of '
            f'{listed(SURE)} to the models, or a learned one with several seeds or folds, and train it.'
        )
    return asked or [*ensembles, *sure][-1]


def what_is_not_known(
    label: str,
    kind: str,
    model: Model,
    params: Params,
    compendium: Compendium,
    training: Masks,
    asked: Query,
) -> tuple[Effects, Rows]:
    """What a fitted model does not know of pairs, once all profiles of the compendium are measured.

    Args:
      label: of the model, for messages.
      kind: its name in `models.MODELS`.
      model: as it was fitted.
      params: what fitting gave.
      compendium, training: what it was fitted on.
      asked: the pairs.
    """
    if kind == 'two_way':
        return ridge_effects(params, compendium, measured(compendium), asked)
    if kind == 'kernel':
        on_device = Query(*map(jnp.asarray, asked))
        return kernel_effects(params, compendium, training, measured(compendium), on_device)
    if model.num_members(params) < 2:
        raise InputError(f'next.model: {label!r} has one member; train it with training.seeds = 2 or more.')
    return disagreement(label, model, params, asked)


def batch_table(effects: Effects, rows: Rows, asked: Query, names: Vocabulary, size: int) -> pd.DataFrame:
    """The batch as a table, the first choice first.

    Args:
      effects, rows: what is not known of the pairs.
      asked: the pairs; they are candidates and targets.
      names: of their ids.
      size: how many; fewer where nothing more would be learned.

    Returns:
      `rank`, `context`, `perturbation`; `spread`, the standard deviation of what is predicted there once the earlier
      ones are measured, in units of the values (over several readouts the root of the mean of variances); `reduction`,
      the expected fall of the summed variance of all pairs, and `left`, what then remains of it, both as shares of the
      variance before.

    Raises:
      InputError: the model is equally sure of everything, or has no answer for any pair.
    """
    found = choose(effects, rows, rows, min(size, len(asked.context)))
    kept = np.flatnonzero(np.asarray(found.row) >= 0)
    if not len(kept):
        raise InputError('next: no measurement of these pairs would teach this model anything; name another one.')
    row, share = np.asarray(found.row)[kept], np.asarray(found.reduction, float)[kept] / float(found.before)
    return pd.DataFrame(
        {
            'rank': np.arange(1, len(kept) + 1),
            'context': np.array(names.contexts, object)[asked.context[row]],
            'perturbation': names.perturbation_names(np.asarray(asked.perturbation)[row]),
            'spread': np.sqrt(np.maximum(np.asarray(found.variance)[kept], 0)),
            'reduction': share,
            'left': np.maximum(1 - np.cumsum(share), 0),
        }
    )
