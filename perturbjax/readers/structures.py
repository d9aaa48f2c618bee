"""Tables of compounds and their structures as SMILES."""

import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.naming.spelling import loose
from perturbjax.readers.table import column_names, read_matrix

# Columns by what they look like; those of names in the order in which they are looked for.
_SMILES = ('smiles', 'canonicalsmiles', 'isomericsmiles')
_NAMES = ('compound', 'name', 'compoundname', 'drug', 'drugname', 'perturbation', 'cmapname', 'pertiname')


def read_structures(path: str) -> dict[str, str]:
    """The SMILES of each compound that has one, by name.

    Args:
      path: a table with a column `smiles` (or `canonical_smiles`, or `isomeric_smiles`) and one of names, such as
        `compound`, `name` or `drug`; without such a one the first column has the names.

    Raises:
      InputError: the file cannot be read, has no such column or no structure, or gives a name two structures.
    """
    path = absolute(path)
    columns = column_names(path)
    smiles = _first(columns, _SMILES)
    name = _first(columns, _NAMES) or next((each for each in columns if each and each != smiles), '')
    if not smiles or not name:
        raise InputError(
            f"{path}: a table of structures has a column 'smiles' and one of names; there are {listed(columns)}."
        )
    table = read_matrix(path, (name, smiles) if columns[0] else ())  # a column without a name would become the index
    found = pd.DataFrame({'name': texts(table[name]), 'smiles': texts(table[smiles])}, dtype=object)
    found = found[(found != '').all(axis=1)].drop_duplicates()
    twice = found['name'][found['name'].duplicated()].unique()
    if len(twice):
        raise InputError(f'{path}: compounds have two structures: {listed(twice)}; keep one of each.')
    if found.empty:
        raise InputError(f'{path}: no line has both a name in {name!r} and a structure in {smiles!r}; fill them in.')
    return dict(zip(found['name'], found['smiles'], strict=True))


def _first(columns: list[str], wanted: tuple[str, ...]) -> str:
    """The first wanted column that is there, however it is spelled."""
    there = {loose(str(name)).replace('_', ''): name for name in reversed(columns)}
    return next((there[name] for name in wanted if name in there), '')
