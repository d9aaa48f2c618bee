"""What contexts share: only what several contexts have measured can be transferred from one to another.

A perturbation is a whole name, so a combination counts as one; control is not counted. What has no value
at all counts as not measured. C is the number of contexts.
"""

import numpy as np
import pandas as pd
import scipy.sparse

from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import parts


def shared_perturbations(compendium: Compendium) -> pd.DataFrame:
    """How many perturbations two contexts both measured, `[C, C]`; on the diagonal, how many the context has."""
    return _shared(measured_perturbations(compendium), compendium)


def shared_readouts(compendium: Compendium) -> pd.DataFrame:
    """How many readouts two contexts both measured, `[C, C]`; on the diagonal, how many the context has."""
    return _shared(measured_readouts(compendium), compendium)


def transferable(compendium: Compendium) -> pd.DataFrame:
    """Counts of what each context measured, and of how much of it other contexts measured too; a row per context.

    The columns are: `perturbations`; `elsewhere`, those that another context has too; `parts_elsewhere`,
    those of which each part is in another context, alone or combined, which is what the split
    `unseen_in_context` can hold out; `readouts`; and `readouts_elsewhere`.
    """
    named, readouts = measured_perturbations(compendium), measured_readouts(compendium)
    parts_of = {name: parts(name) for name in named['name'].unique()}
    pieces = named.assign(name=named['name'].map(parts_of)).explode('name')
    pieces['name'] = _in_several(pieces)
    counts = {
        'perturbations': named.groupby('context').size(),
        'elsewhere': _in_several(named).groupby(named['context']).sum(),
        'parts_elsewhere': pieces['name'].groupby(level=0).all().groupby(named['context']).sum(),
        'readouts': readouts.groupby('context').size(),
        'readouts_elsewhere': _in_several(readouts).groupby(readouts['context']).sum(),
    }
    return pd.DataFrame(counts, index=list(compendium.vocabulary.contexts)).fillna(0).astype(int)


def measured_perturbations(compendium: Compendium) -> pd.DataFrame:
    """A row for each context and each perturbation measured there; columns `context` and `name`."""
    table = compendium.table()
    measured = np.concatenate([~np.isnan(screen.values).all(axis=1) for screen in compendium.screens])
    chosen = table.loc[measured & (table['order'] > 0).to_numpy(), ['context', 'perturbation']]
    return chosen.set_axis(['context', 'name'], axis=1).drop_duplicates(ignore_index=True)


def measured_readouts(compendium: Compendium) -> pd.DataFrame:
    """A row for each context and each readout measured there, control included; columns `context` and `name`."""
    names = compendium.vocabulary
    found = []
    for screen in compendium.screens:
        rows = np.argsort(screen.context, kind='stable')
        first = np.searchsorted(screen.context[rows], screen.present_contexts)
        for context, chosen in zip(screen.present_contexts, np.split(rows, first[1:]), strict=True):
            measured = ~np.isnan(screen.values[chosen]).all(axis=0)
            readouts = np.array(names.readouts, object)[screen.readout[measured]]
            found.append(pd.DataFrame({'context': names.contexts[context], 'name': readouts}))
    return pd.concat(found).drop_duplicates(ignore_index=True)


def _in_several(measured: pd.DataFrame) -> pd.Series:
    """Which rows have a name that more than one context has."""
    return measured.groupby('name')['context'].transform('nunique') > 1


def _shared(measured: pd.DataFrame, compendium: Compendium) -> pd.DataFrame:
    names = compendium.vocabulary.contexts
    context, name = compendium.vocabulary.context_ids(measured['context']), pd.factorize(measured['name'])[0]
    has = scipy.sparse.csr_matrix((np.ones(len(name), int), (context, name)), (len(names), max(name, default=0) + 1))
    return pd.DataFrame((has @ has.T).toarray(), names, names)
