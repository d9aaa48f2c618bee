"""The scores that Ahlmann-Eltze et al. 2025 published of every perturbation and method, to stand beside a run's."""

import pathlib
from typing import NamedTuple

import pandas as pd

from perturbjax.errors import InputError, did_you_mean

# What the catalogue calls the table.
NAME = 'published_scores'
TITLE = 'Ahlmann-Eltze 2025, L2 and Pearson-delta of every method and perturbation on four screens'
SOURCE = 'Ahlmann-Eltze, Huber and Anders 2025, Nature Methods 22:1657'
LICENCE = 'MIT, (c) 2024 Constantin Ahlmann-Eltze'
PAGE = 'https://github.com/const-ae/linear_perturbation_prediction-Paper'
_FILE = pathlib.Path(__file__).parent / 'published_scores.csv.gz'


class Scored(NamedTuple):
    """A data set with published scores.

    Attributes:
      title: a short description.
      scale: of the values that were scored.
      genes: which genes its panel has.
      rule: the simple rule among the methods that every run has too.
      selected: on what methods were selected, in sentences.
    """

    title: str
    scale: str
    genes: str
    rule: str
    selected: str


_CPA = 'CPA stopped early on the test perturbations.'


def _singles(title: str) -> Scored:
    selected = (
        'GEARS and scGPT chose their epoch on the validation perturbations, which are among those scored; '
        f'{_CPA} Only perturbations that every main method predicts were scored, and fewer of cpa, uce33 and lpm_* '
        'other than lpm_selftrained. The lpm_* of the paper are its linear model, with various embeddings.'
    )
    return Scored(title, 'log1p', "the genes of GEARS' file", 'mean', selected)


SCORES = {
    'norman': Scored(
        'Norman 2019, half of the doubles, five partitions',
        'log1p',
        "the 19,264 genes of scFoundation's file",
        'no_change',
        f'Half of the doubles scored in each partition also chose the epoch of GEARS, scGPT and scFoundation; {_CPA}',
    ),
    'adamson': _singles("Adamson 2016, unseen genes of GEARS' split, two seeds"),
    'replogle_k562': _singles("Replogle 2022, K562, unseen genes of GEARS' split, two seeds"),
    'replogle_rpe1': _singles("Replogle 2022, RPE1, unseen genes of GEARS' split, two seeds"),
}


def published_scores(dataset: str) -> pd.DataFrame:
    """The published scores of all methods on a data set: one row per seed, method and perturbation.

    Columns: seed (of the partition); method, as the paper's tables call it; perturbation, `A` or `A+B` without types;
    split: `test` or `val`, both of which the paper scores, or, of singles, `train`; l2 and pearson_delta, both over
    the 1,000 genes highest in control. Pearson-delta is NaN where it is undefined.

    Source: the source data of Ahlmann-Eltze, Huber and Anders 2025, Nature Methods 22:1657, as they lie in
    github.com/In-tron/linear_perturbation_prediction-Paper, a fork of the authors' repository. Licence: MIT,
    (c) 2024 Constantin Ahlmann-Eltze; its text lies beside the table.

    Args:
      dataset: a name in `SCORES`.

    Raises:
      InputError: there are none of that name.

    Example:
      >>> scores = published_scores('norman')
      >>> print(scores.query('method == "additive_model"').l2.mean().round(2))
      2.77
    """
    check_scored(dataset, 'published_scores')
    table = pd.read_csv(_FILE)
    wide = table[table['dataset'] == dataset].set_index(['seed', 'split', 'perturbation']).drop(columns='dataset')
    wide.columns = pd.MultiIndex.from_tuples([tuple(str(name).split(':')) for name in wide], names=[None, 'method'])
    rows = pd.DataFrame(wide.stack('method', future_stack=True)).reset_index()
    return rows.loc[rows['l2'].notna(), ['seed', 'method', 'perturbation', 'split', 'pearson_delta', 'l2']]


def check_scored(dataset: str, field: str) -> None:
    """Raises InputError, naming the field, where the data set has no published scores."""
    if dataset not in SCORES:
        raise InputError(f'{field}: there are no published scores of {dataset!r}; {did_you_mean(dataset, SCORES)}')


def describe() -> str:
    """Everything that is known of the table, as the catalogue shows it."""
    lines = [
        f'{NAME}: {TITLE}',
        '  file      in the package, 0.2 MB',
        f'  cite      {SOURCE}',
        f'  licence   {LICENCE}',
    ]
    names = [f'  {name:13}  {each.title}' for name, each in SCORES.items()]
    read = '  read      perturbjax.datasets.published.published_scores(NAME), or config.evaluation.published = NAME'
    return '\n'.join([*lines, f'  page      {PAGE}', read, *names])
