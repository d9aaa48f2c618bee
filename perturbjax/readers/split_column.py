"""The roles that a column of the table of rows (obs of an h5ad file) gives to each context and perturbation."""

import contextlib
import dataclasses
import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from perturbjax.errors import InputError, listed
from perturbjax.readers.asked import file_settings
from perturbjax.readers.files import find_files
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.sources import READERS, SHARDED_READERS
from perturbjax.screens.vocabulary import CONTROL

# Stands between a context and a role while both are read as one name.
_JOINT = '\u241f'


def read_split_column(data: Mapping[str, Any], column: str) -> list[tuple[str, tuple[str, str]]]:
    """Pairs of a role and a (context, perturbation), in the order of the rows; the role is `''` where there is none.

    The files are read once more, but not their values where those stay in the file.

    Args:
      data: of the config.
      column: of the table of rows; templates and `|` are understood as in `Fields`.

    Raises:
      InputError: a source has no rows with columns, or the rows of one profile have several roles.
    """
    pairs: dict[tuple[str, str], str] = {}
    for settings in file_settings(data):
        source = str(settings.get('source', ''))
        if source not in READERS or settings.get('readouts_are'):
            raise InputError(f'split.column: the source {source!r} has no table of rows with columns; give split.path.')
        for pair, role in _labels(settings, source, column):
            if pairs.setdefault(pair, role) != role:
                raise InputError(
                    f'split.column: in the column {column!r} the rows of {" in ".join(reversed(pair))} are of several '
                    f'lists, {listed(sorted({role, pairs[pair]}))}; a profile is held out as a whole, so give all its '
                    'rows one, or choose rows by data.fields.where.'
                )
    return [(role, pair) for pair, role in pairs.items()]


def _labels(settings: Mapping[str, Any], source: str, column: str) -> Iterator[tuple[tuple[str, str], str]]:
    """The (context, perturbation) and the role of every row but control."""
    reader, fields = READERS[source], Fields(**settings.get('fields', {}))
    options = {name: settings[name] for name in list(inspect.signature(reader).parameters)[2:] if name in settings}
    labelled = dataclasses.replace(fields, context=_with_role(fields, column), context_name='')
    for file in find_files(settings['path'], folders=reader in SHARDED_READERS):
        with _in_silence():  # reading the data has told all of it
            rows = reader(file, labelled, **options)
        for context, perturbation in dict.fromkeys(zip(rows.context, rows.perturbation)):
            if perturbation != CONTROL:
                name, _, role = context.rpartition(_JOINT)
                yield (name, perturbation), role


def _with_role(fields: Fields, column: str) -> str:
    """The template of the context and the role."""
    context = fields.context_name.replace('{', '{{').replace('}', '}}') or fields.context
    if fields.context and '{' not in context:
        context = f'{{{context}}}'
    return f'{context}{_JOINT}{{{column}:?}}'


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    logger = logging.getLogger('absl')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
