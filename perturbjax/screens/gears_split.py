"""GEARS' "simulation" split: unseen genes, alone and in combination."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from perturbjax.errors import InputError
from perturbjax.screens.roles import TEST, TRAIN, VALIDATION, in_context
from perturbjax.screens.vocabulary import parts, target_gene


def gears_simulation(
    table: pd.DataFrame,
    seed: int,
    genes: float = 0.75,
    combinations: float = 0.75,
    validation: float = 0.1,
    context: str | Sequence[str] = '*',
) -> np.ndarray:
    """GEARS' "simulation" split, as Ahlmann-Eltze et al. use it: unseen genes, alone and in combination.

    A random share `genes` of the genes is seen. A perturbation with an unseen gene is tested. Of the
    combinations of seen genes only, a share `combinations` trains and the rest is tested. The same
    rule then takes validation from what is left, with 1 - `validation` for both shares. Numbers are
    rounded down, as in GEARS (`DataSplitter.get_simulation_split`), but the random choice is another:
    to use GEARS' own lists, take the rule `custom`.

    `context` is a name, a pattern, or several of them: the rule is applied to the perturbations there,
    and all other contexts train. A gene counts as the same gene under every perturbation type.
    """
    for name, share in (('genes', genes), ('combinations', combinations), ('validation', validation)):
        if not 0 <= share <= 1:
            raise InputError(f'split.{name}: {share} is not a share; it must be from 0 to 1.')
    here = in_context(table, context) & (table['order'] > 0)
    rng = np.random.default_rng(seed)
    names = sorted(set(table['perturbation'][here]))
    tested = _with_unseen_genes(names, genes, combinations, rng)
    left = [name for name in names if name not in tested]
    validated = _with_unseen_genes(left, 1 - validation, 1 - validation, rng)
    roles = dict.fromkeys(tested, TEST) | dict.fromkeys(validated, VALIDATION)
    return np.where(here, table['perturbation'].map(roles).fillna(TRAIN), TRAIN).astype(int)


def _with_unseen_genes(names: Sequence[str], genes: float, combinations: float, rng: np.random.Generator) -> set[str]:
    """The names that GEARS' rule holds out: those not of seen genes only, and some combinations of seen genes."""
    genes_of = {name: {target_gene(part) for part in parts(name)} for name in names}
    known = sorted(set().union(*genes_of.values()))
    seen = set(_share_of(known, genes, rng))
    of_seen = [name for name in names if genes_of[name] <= seen]
    kept = _share_of([name for name in of_seen if len(parts(name)) > 1], combinations, rng)
    return set(names) - set(kept) - {name for name in of_seen if len(parts(name)) == 1}


def _share_of(names: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """A random share of the names, rounded down."""
    return [names[i] for i in rng.permutation(len(names))[: int(len(names) * share)]]
