"""The six members of the Virtual Cell Challenge 2026 for a pair of true and predicted cells.

Members of differential expression need cells on both sides, at least two of each perturbation and of control;
`untested` says which perturbations they cannot judge. The others need only profiles, one row per perturbation; then
nothing is known of sampling, and nothing is subtracted for it.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from perturbjax.evaluation.metrics.discrimination import cosine, discrimination, perturbed_readouts
from perturbjax.evaluation.referees.bulk import bulk
from perturbjax.evaluation.referees.differential import differential
from perturbjax.evaluation.referees.expression import expression_error
from perturbjax.evaluation.referees.pair import Pair
from perturbjax.evaluation.referees.significant import (
    change_nmae,
    direction_fidelity,
    direction_reach,
    significant_jaccard,
)


class Member(NamedTuple):
    """One member of the suite.

    Attributes:
      theirs: its name in cell-eval2.
      lower_is_better: its direction.
      range: the range of its values, in words.
      needs: `profiles` or `cells`.
      definition: a sentence.
    """

    theirs: str
    lower_is_better: bool
    range: str
    needs: str
    definition: str


MEMBERS = {
    'pds_cosine': Member(
        'pds_cosine', False, '0 to 1', 'profiles',
        'The share of the other perturbations whose true change from control is farther, by its angle, from the '
        'predicted change than the own one; without the readouts of all perturbed genes.',
    ),
    'expression_error': Member(
        'expr_mse_unbiased_capped_norm', True, '0 is perfect, 1 predicts control', 'profiles',
        'The squared error of the profiles over their squared change from control, both without what sampling adds.',
    ),
    'change_nmae': Member(
        'de_wilcoxon_lfc_nmae', True, '0 or more, 1 predicts no change', 'cells',
        'The absolute error of the log2 fold changes of truly significant readouts over their absolute change.',
    ),
    'direction_fidelity': Member(
        'de_wilcoxon_direction_fidelity_yield_raw', False, '0 to 1', 'cells',
        'Readouts called significant with the true sign, over those called or truly significant, whichever are more.',
    ),
    'direction_reach': Member(
        'de_wilcoxon_direction_reach_raw', False, '0 to 1', 'cells',
        'The share of the truly significant readouts that one can take in the predicted order with 90% of signs right.',
    ),
    'significant_jaccard': Member(
        'de_wilcoxon_sig_jaccard', False, '0 to 1', 'cells',
        'Readouts significant on both sides over those significant on either.',
    ),
}  # fmt: skip

# The table has these two in place of `expression_error`, which is the sum of the one over the sum of the other.
ERROR, EFFECT = 'expression_error_squared', 'expression_effect_squared'


def vcc2026(pair: Pair) -> pd.DataFrame:
    """All members for each perturbation (index), NaN where they are not defined.

    `expression_error` has no value for a single perturbation: its columns `expression_error_squared` and
    `expression_effect_squared` are there instead, see `aggregate`.

    >>> import anndata
    >>> from perturbjax.evaluation.referees import make_pair
    >>> cells = np.random.default_rng(0).poisson([[9, 2, 4, 1]] * 8 + [[1, 2, 4, 8]] * 8)
    >>> obs = pd.DataFrame({'target': ['non-targeting'] * 8 + ['G0'] * 8}, index=[f'cell {i}' for i in range(16)])
    >>> truth = anndata.AnnData(cells.astype('float32'), obs=obs, var=pd.DataFrame(index=['G0', 'G1', 'G2', 'G3']))
    >>> vcc2026(make_pair(truth, truth))['significant_jaccard'].to_list()
    [1.0]
    """
    own = perturbed_readouts(pair.perturbations, pair.readouts)
    truth = bulk(pair.truth, len(own) + 1, pair.counts)
    prediction = bulk(pair.prediction, len(own), pair.counts)
    control = truth.values[-1]
    changes = prediction.values - control, truth.values[:-1] - control
    error, effect = expression_error(truth, prediction, own)
    found = {'pds_cosine': discrimination(*changes, np.any(own, axis=0), cosine), ERROR: error, EFFECT: effect}
    return pd.DataFrame(found | _of_tables(pair, own), index=pd.Index(pair.perturbations, name='perturbation'))


def aggregate(table: pd.DataFrame) -> pd.Series:
    """One value per member: the mean over perturbations, or the ratio of the sums for `expression_error`.

    NaN where nothing is defined, and for `expression_error` where control and the perturbations do not differ by more
    than sampling.
    """
    means = table.mean()
    effect = table[EFFECT].sum()
    means['expression_error'] = table[ERROR].sum() / effect if effect > 0 else np.nan
    return means.reindex(list(MEMBERS))


def untested(pair: Pair) -> list[str]:
    """The perturbations that members of differential expression cannot judge: they have one cell, or control has."""
    groups = len(pair.perturbations)
    true, predicted = (np.bincount(side.group, minlength=groups + 1) for side in (pair.truth, pair.prediction))
    few = np.minimum(true, predicted)[:groups] < 2
    return [name for name, each in zip(pair.perturbations, few | (true[groups] < 2)) if each]


def _of_tables(pair: Pair, own: np.ndarray) -> dict[str, np.ndarray]:
    """The members of differential expression, each `[P]`."""
    known = ~np.isin(pair.perturbations, untested(pair))
    if not known.any():
        return {name: np.full(len(own), np.nan) for name, member in MEMBERS.items() if member.needs == 'cells'}
    tables = differential(pair, pair.truth), differential(pair, pair.prediction)
    found = {
        'change_nmae': change_nmae(*tables, own),
        'direction_fidelity': direction_fidelity(*tables, own),
        'direction_reach': direction_reach(*tables, own, pair.readouts),
        'significant_jaccard': significant_jaccard(*tables, own),
    }
    return {name: np.where(known, values, np.nan) for name, values in found.items()}
