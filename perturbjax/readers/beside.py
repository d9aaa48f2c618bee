"""Tables beside a file that describe its rows or readouts by their ids, such as LINCS' siginfo and geneinfo."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import column_names, read_matrix


def look_up(
    ids: np.ndarray, used: Sequence[str], tables: str | Sequence[str], keys: Sequence[str], path: str
) -> pd.DataFrame:
    """Looks up some columns for the ids of a file; gives a line for each id, in their order.

    Args:
      ids: of the file, `[n]`.
      used: names of columns, as `find_column` takes them; each may be in any of the tables.
      tables: one table or several, with lines in any order; they may have more ids.
      keys: possible names of the column of ids; the first that a table has is used.
      path: of the file, for messages.

    Raises:
      InputError: a column is in none of the tables, or a table has no column of ids, lacks an id or
        has one twice.
    """
    tables = [tables] if isinstance(tables, str) else list(tables)
    there = {table: column_names(table) for table in tables}
    wanted: dict[str, list[str]] = {table: [] for table in tables}
    for name in used:
        found = [(table, each) for each in (name, *name.split('|')) for table in tables if each in there[table]]
        if not found:
            every = listed(dict.fromkeys(each for names in there.values() for each in names), most=40)
            raise InputError(f'{" and ".join(tables)}: there is no column {name!r}; there are {every}.')
        wanted[found[0][0]].append(found[0][1])
    needed = [table for table in tables if wanted[table]] or tables[:1]
    return pd.concat([_one(ids, wanted[table], table, keys, there[table], path) for table in needed], axis=1)


def _one(
    ids: np.ndarray, used: Sequence[str], table: str, keys: Sequence[str], there: Sequence[str], path: str
) -> pd.DataFrame:
    key = next((each for each in keys if each in there), None)
    if key is None:
        named = ' or '.join(map(repr, keys))
        raise InputError(f'{table}: there is no column {named} for the ids; there are {listed(there, most=40)}.')
    lines = read_matrix(table, list(dict.fromkeys([key, *used])))
    lines = lines.set_index(texts(lines[key]))[list(used)].rename_axis(key)
    lines = lines[lines.index.isin(ids)]
    twice, missing = lines.index[lines.index.duplicated()], pd.Index(ids).difference(lines.index)
    if len(twice):
        raise InputError(f'{table}: ids in {key} are repeated: {listed(twice)}; keep one line of each.')
    if len(missing):
        raise InputError(
            f'{table}: {len(missing)} of the {len(ids)} ids of {path} are not in the column {key}, such as '
            f'{listed(missing, most=3)}; give the table of the same release as the file.'
        )
    return lines.loc[ids]
