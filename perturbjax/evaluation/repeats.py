"""Do the replicates of a combination bear its interactions out, or does one of them make the call?"""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.interactions import Interactions

YES, NO, NOT_KNOWN = 'yes', 'no', ''
# What is said of each call:
#   standard_error: of the observed value, from the rows behind it; the error of the additive value is not in it.
#   first_half, second_half: the interaction in each half of the rows.
#   replicates_agree: yes if both halves are beyond one sigma of the null on the side of the call, no if one is not.
# All are missing without replicates.
SUPPORT = ['standard_error', 'first_half', 'second_half', 'replicates_agree']


def support(block: anndata.AnnData, found: Interactions, row: np.ndarray, column: np.ndarray) -> pd.DataFrame:
    """What the replicates say of called interactions, columns `SUPPORT`.

    Args:
      block: combinations, with what is known of the rows behind them if there is anything.
      found: their interactions.
      row, column: the positions of the calls.
    """
    additive = np.asarray(block.layers['additive'], float)[row, column]

    def called(layer: str) -> np.ndarray:
        missing = np.full(len(row), np.nan)
        return np.asarray(block.layers[layer], float)[row, column] if layer in block.layers else missing

    cells = np.asarray(block.obs.get('cells', np.ones(block.n_obs)), float)[row]
    halves = {name: called(name) - additive for name in ('first_half', 'second_half')}
    away = np.sign(found.value[row, column] - found.null.delta)
    weaker = np.min([away * (half - found.null.delta) for half in halves.values()], axis=0)
    agree = np.select([np.isnan(weaker), weaker > found.null.sigma], [NOT_KNOWN, YES], NO)
    values = (np.sqrt(called('variance') / cells), *halves.values(), agree)
    return pd.DataFrame(dict(zip(SUPPORT, values, strict=True)))


def outliers(calls: pd.DataFrame) -> list[str]:
    """A sentence about the calls of a screen that only one half of the rows shows, if there are any."""
    alone = calls[calls['replicates_agree'] == NO]
    if alone.empty:
        return []
    first = alone.iloc[0]
    known = (calls['replicates_agree'] != NOT_KNOWN).sum()
    return [
        f'{len(alone):,} of the {known:,} called interactions in {first["screen"]} that have replicates are seen in '
        f'one half of them alone, as one outlying replicate can do. The strongest is {first["perturbation"]} in '
        f'{first["readout"]} ({first["context"]}): {first["first_half"]:.3g} in one half, {first["second_half"]:.3g} '
        'in the other.'
    ]
