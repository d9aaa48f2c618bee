"""The ledger's file: one table of SQLite, a row per run, model and metric.

SQLite, because it comes with Python, several processes may add at the same time, and an addition that is cut off
leaves the file as it was; parquet needs another package and is written anew for each addition. The file must lie on
a disk or file system that knows locks.
"""

import contextlib
import os
import pathlib
import sqlite3
from collections.abc import Iterator, Sequence

import pandas as pd

from perturbjax.errors import InputError, reason
from perturbjax.ledger.runs import COLUMNS, RUN, rows_of
from perturbjax.paths import absolute, refuse_endless

# How SQLite files say whose they are, and the version of the table.
_APPLICATION, _VERSION = 0x70726A78, 1
_SQL_TYPES = {str: 'TEXT NOT NULL', int: 'INTEGER NOT NULL', float: 'REAL'}
# How long an addition waits for others, in seconds.
_PATIENCE = 60
# What to do about an error of SQLite, by how its name begins.
_MENDS = {
    'SQLITE_NOTADB': 'give a ledger, or a name that is free',
    'SQLITE_CORRUPT': 'take a copy of it from before, or add the workdirs to a new one',
    'SQLITE_BUSY': 'another process is writing to it; try again',
    'SQLITE_FULL': 'free space there and try again',
    'SQLITE_READONLY': 'grant the right to write, or give another file',
    'SQLITE_CANTOPEN': 'see that its folder is there and may be written to',
}


def add(path: str | os.PathLike, *workdirs: str | os.PathLike, full_paths: bool = False) -> list[str]:
    """Adds finished runs to a ledger, all or none; the file is made where there is none.

    A run that is there already (same name of the workdir, settings, data and split) is replaced.

    Args:
      path: of the ledger.
      workdirs: of the runs.
      full_paths: keep the whole paths of the workdirs, not their last part alone.

    Returns:
      For each run a sentence that says what was done.

    Raises:
      InputError: a run cannot be read, see `runs.rows_of`, or the file cannot be used; it is then as it was.
    """
    folders = list(dict.fromkeys(absolute(each, 'WORKDIR') for each in workdirs))
    runs = [rows_of(folder, full_paths) for folder in folders]
    _refuse_alike(folders, runs)
    with _open(path, creates=True) as database:
        database.execute('BEGIN IMMEDIATE')
        _check(database, path, creates=True)
        replaced = [_put(database, run) for run in runs]
        database.execute('COMMIT')
    return [_told(run, before) for run, before in zip(runs, replaced, strict=True)]


def read(path: str | os.PathLike) -> pd.DataFrame:
    """All rows of a ledger, with the columns `runs.COLUMNS`, in the order in which they were added.

    Raises:
      InputError: there is no such file, or it is no ledger.
    """
    with _open(path) as database:
        _check(database, path)
        rows = database.execute(f'SELECT {", ".join(COLUMNS)} FROM scores ORDER BY rowid').fetchall()
    try:
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    except (ValueError, TypeError) as error:
        raise InputError(f'{path}: the ledger is damaged ({reason(error)}).') from error


def _refuse_alike(folders: Sequence[str], runs: Sequence[pd.DataFrame]) -> None:
    """Raises InputError where one of the runs would replace another of them."""
    seen: dict[tuple, str] = {}
    for folder, run in zip(folders, runs, strict=True):
        other = seen.setdefault(_key(run), folder)
        if other != folder:
            raise InputError(
                f'{folder}: it has the name, settings, data and split of {other}, so one would replace the other; '
                'rename one of the folders, or add them with --full_paths.'
            )


def _key(run: pd.DataFrame) -> tuple:
    return tuple(run[list(RUN)].iloc[0])


def _put(database: sqlite3.Connection, run: pd.DataFrame) -> bool:
    """Writes the rows of a run in place of those it had before; returns whether it had any."""
    same = ' AND '.join(f'{name} = ?' for name in RUN)
    before = database.execute(f'DELETE FROM scores WHERE {same}', _key(run)).rowcount
    rows = run.astype(object).where(run.notna(), None).itertuples(index=False, name=None)
    database.executemany(f'INSERT INTO scores VALUES ({", ".join("?" * len(COLUMNS))})', rows)
    return before > 0


def _told(run: pd.DataFrame, before: bool) -> str:
    first = run.iloc[0]
    return f'{first["workdir"]}: {run["model"].nunique()} models on {first["screen"]} ' + (
        'take the place of what was there.' if before else 'were added.'
    )


@contextlib.contextmanager
def _open(path: str | os.PathLike, creates: bool = False) -> Iterator[sqlite3.Connection]:
    """The database; it is closed at the end, and what was not committed is undone."""
    file = pathlib.Path(_checked(path, creates))
    try:
        # Without `creates` no file is made, but what an addition that was cut off left behind may be undone.
        address = f'{file.as_uri()}?mode={"rwc" if creates else "rw"}'
        with contextlib.closing(
            sqlite3.connect(address, timeout=_PATIENCE, isolation_level=None, uri=True)
        ) as database:
            yield database
    except sqlite3.Error as error:
        name = getattr(error, 'sqlite_errorname', '')
        mend = next((mend for start, mend in _MENDS.items() if name.startswith(start)), 'give another file')
        raise InputError(f'{file}: it cannot be used as a ledger ({reason(error)}); {mend}.') from error


def _checked(path: str | os.PathLike, creates: bool) -> str:
    file = absolute(path, '--ledger')
    if '://' in file:
        raise InputError(f'--ledger: {file}: a ledger lies on a disk, not in a bucket; give a local file.')
    refuse_endless(file)
    if os.path.isdir(file):
        raise InputError(f'--ledger: {file}: it is a folder; give the name of a file.')
    if not os.path.exists(file) and not creates:
        raise InputError(f'--ledger: {file}: there is no such file; python -m perturbjax.ledger add makes it.')
    return file


def _check(database: sqlite3.Connection, path: str | os.PathLike, creates: bool = False) -> None:
    """Raises InputError unless it is a ledger; an empty file becomes one where `creates` is set."""
    application, version, tables = (
        database.execute(question).fetchone()[0]
        for question in ('PRAGMA application_id', 'PRAGMA user_version', 'SELECT COUNT(*) FROM sqlite_master')
    )
    if creates and not tables:
        columns = ', '.join(f'{name} {_SQL_TYPES[kind]}' for name, kind in COLUMNS.items())
        database.execute(f'CREATE TABLE scores ({columns}, PRIMARY KEY ({", ".join(RUN)}, model, metric))')
        database.execute(f'PRAGMA application_id = {_APPLICATION}')
        database.execute(f'PRAGMA user_version = {_VERSION}')
    elif application != _APPLICATION:
        raise InputError(f'--ledger: {path}: it is no ledger of perturbjax; give another file.')
    elif version != _VERSION:
        raise InputError(
            f'--ledger: {path}: another version of perturbjax made it; use that one, or give another file.'
        )
