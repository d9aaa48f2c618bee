"""What a ledger keeps of a run: a row for each model and metric, read from the files of a finished workdir."""

import hashlib
import json
from typing import Any

import pandas as pd
from etils import epath

from perturbjax.config import lasting
from perturbjax.errors import InputError, reason, some
from perturbjax.evaluation.weighting import WEIGHTED_BY
from perturbjax.lock import refuse_locked
from perturbjax.paths import absolute
from perturbjax.report.components import read_pairs
from perturbjax.workdir import read_table

# What tells runs apart. Data and split are those of all splits and screens of a run.
RUN = ('workdir', 'config_hash', 'data_hash', 'split_hash')
# Columns by their type in Python; the first are the same in all rows of a run.
COLUMNS: dict[str, type] = {
    **dict.fromkeys(('workdir', 'screen', 'split', 'contexts'), str),
    **dict.fromkeys(('config_hash', 'data_hash', 'split_hash'), str),
    **dict.fromkeys(('evaluated', 'perturbjax', 'jax', 'python'), str),
    'profiles': int,
    **dict.fromkeys(('model', 'metric'), str),
    **dict.fromkeys(('value', 'low', 'high', 'anchored', 'anchored_low', 'anchored_high'), float),
    'anchor': str,
    'coverage': float,
    **dict.fromkeys(('perturbations', 'splits'), int),
}
_TEXTS = ('model', 'metric', 'anchor')
_OF_SUMMARY = list(COLUMNS)[list(COLUMNS).index('model') :]
# The report is what a run writes last.
_FILES = ('config.json', 'data.json', 'split.json', 'summary.csv', 'report.html')
_AGAIN, _ANEW = 'run --mode=evaluate again.', 'launch the run again in another workdir.'


def rows_of(workdir: str, full_paths: bool = False) -> pd.DataFrame:
    """The rows of a run.

    Args:
      workdir: of a finished run, local or in a bucket.
      full_paths: its whole path is its name; otherwise the last part of it is, which says nothing of the machine.

    Returns:
      One row per model and metric of summary.csv, with the columns `COLUMNS`: names of the workdir, of the screens
      and contexts that were held out from, and of the split; sha256 of the settings (without those that may change
      in a workdir), of data.json and of split.json; when it was evaluated and by which versions; the number of
      held-out profiles, those of all splits; and what `summary.summarise` and `anchors.anchored` say of the model.

    Raises:
      InputError: the run is not finished or still works, or a file is damaged.
    """
    folder = epath.Path(absolute(workdir, 'WORKDIR'))
    _check_finished(folder)
    summary = _summary(folder / 'summary.csv')
    about = {'workdir': str(folder) if full_paths else folder.name, **_keys(folder), **_origin(folder / 'report.html')}
    return summary.assign(**about)[list(COLUMNS)]


def _check_finished(folder: epath.Path) -> None:
    if not folder.is_dir():
        raise InputError(f'{folder}: there is no such folder; give the workdir of a finished run.')
    for purpose in ('training', 'results'):
        refuse_locked(folder, purpose)
    missing = [name for name in _FILES if not (folder / name).exists()]
    if missing:
        raise InputError(
            f'{folder}: it has no {missing[0]}, so it is no workdir or its run is not finished; launch the run again '
            'to the end.'
        )


def _summary(path: epath.Path) -> pd.DataFrame:
    table = read_table(path, 'evaluate', _TEXTS)
    if WEIGHTED_BY in table:
        raise InputError(
            f'{path}: its scores are weighted by {table[WEIGHTED_BY].iloc[0]}, and a ledger compares plain ones; '
            "set weights.scores='' and " + _AGAIN
        )
    missing = [name for name in _OF_SUMMARY if name not in table]
    if missing:
        raise InputError(f'{path}: it has no column {missing[0]!r}, as those of earlier versions have not; {_AGAIN}')
    try:
        table = table.astype({name: COLUMNS[name] for name in _OF_SUMMARY})
    except (ValueError, TypeError) as error:
        raise InputError(f'{path}: it is damaged ({reason(error)}); {_AGAIN}') from error
    if table.empty or table.duplicated(['model', 'metric']).any():
        raise InputError(f'{path}: it must have one row for each model and metric; {_AGAIN}')
    return table


def _keys(folder: epath.Path) -> dict[str, Any]:
    """What the run was made with: names, and hashes to compare by."""
    config, data, splits = (_json(folder / name, kind) for name, kind in zip(_FILES, (dict, dict, list)))
    try:
        tested = [profile for split in splits for profile in split['test']]
        screens, contexts, _ = zip(*tested)
        names = dict.fromkeys(str(split['name']) for split in splits)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f'{folder / "split.json"}: it is damaged ({reason(error)}); {_ANEW}') from error
    return {
        'screen': ', '.join(sorted(set(map(str, screens)))),
        'split': ', '.join(names),
        'contexts': some(sorted(set(map(str, contexts))), most=3),
        'config_hash': _hash(lasting(config)),
        'data_hash': _hash(data),
        'split_hash': _hash(splits),
        'profiles': len(tested),
    }


def _json(path: epath.Path, kind: type) -> Any:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f'{path}: it is damaged ({reason(error)}); {_ANEW}') from error
    if not isinstance(content, kind):
        raise InputError(f'{path}: it is damaged (it holds a {type(content).__name__}); {_ANEW}')
    return content


def _origin(path: epath.Path) -> dict[str, str]:
    """When the run was evaluated, and by which versions; the report alone says so."""
    pairs = read_pairs(path.read_bytes().decode(errors='replace'))
    names = {'Evaluated': 'evaluated', 'perturbjax': 'perturbjax', 'jax': 'jax', 'python': 'python'}
    missing = [name for name in names if name not in pairs]
    if missing:
        raise InputError(f'{path}: it does not say {missing[0]!r}, as those of earlier versions do not; {_AGAIN}')
    return {column: pairs[name] for name, column in names.items()}


def _hash(content: Any) -> str:
    """The sha256 of a content of JSON, whatever the order of its names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
