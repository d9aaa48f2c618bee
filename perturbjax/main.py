"""Flags, logging, one call.

python -m perturbjax.main --config=experiments/quickstart.py --workdir=/tmp/quickstart
"""

import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from perturbjax import experiment, progress
from perturbjax.errors import InputError
from perturbjax.evaluation.tables import summary_table

_CONFIG = config_flags.DEFINE_config_file('config', None, 'experiment file', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'folder for everything the run writes, local or gs://')
_MODE = flags.DEFINE_enum('mode', 'run', experiment.MODES, 'all stages, or one of them')
_MULTIHOST = flags.DEFINE_bool('multihost', False, 'train on several hosts; launch the same line on each')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'HOST:PORT of the first host, where a cluster does not tell')
_HOSTS = flags.DEFINE_integer('hosts', None, 'how many there are, where a cluster does not tell', lower_bound=1)
_HOST = flags.DEFINE_integer('host', None, 'which this is, from 0, where a cluster does not tell', lower_bound=0)
_CACHE = flags.DEFINE_string('compilation_cache', '', 'folder where compiled steps are kept for the next launch')
_QUERIES = flags.DEFINE_string('queries', '', 'table (CSV, TSV, parquet) of contexts and perturbations to predict')


_WEEK = 7 * 24 * 3600


def main(_: Sequence[str]) -> None:
    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells every file at INFO
    for name in ('config', 'workdir'):
        if flags.FLAGS[name].value is None:
            raise InputError(f'--{name} is needed, as in --config=experiments/quickstart.py --workdir=/tmp/run.')
    progress.is_launched = True
    if _CACHE.value:
        jax.config.update('jax_compilation_cache_dir', _CACHE.value)
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
    if _MULTIHOST.value:
        _join_hosts()
    try:
        config = _CONFIG.value.copy_and_resolve_references()
    except OSError as error:
        raise InputError(f'--config: {_last_line(error)}') from error
    if _QUERIES.value and _MODE.value != 'predict':
        raise InputError('--queries goes with --mode=predict.')
    results = experiment.run(config, str(_WORKDIR.value), str(_MODE.value), str(_QUERIES.value))
    if results is not None:
        print(summary_table(results.summary), *results.verdict, sep='\n\n')
        print(f'report: {_WORKDIR.value}/report.html')


def _join_hosts() -> None:
    """Waits for all hosts; those that have nothing left to do wait at the end for the first."""
    try:
        jax.distributed.initialize(
            _COORDINATOR.value, _HOSTS.value, _HOST.value, shutdown_timeout_seconds=_WEEK, initialization_timeout=600
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f'--multihost: the hosts did not find each other ({_last_line(error)}); launch the same line on each, '
            'and outside of TPU and Slurm give --coordinator, --hosts and --host.'
        ) from error


def _parse(arguments: Sequence[str]) -> Sequence[str]:
    try:
        return flags.FLAGS(arguments)
    except (AttributeError, KeyError) as error:
        _fail(InputError(_unknown_setting(str(error))))
    except (flags.Error, InputError, OSError, ImportError, TypeError, ValueError) as error:
        _fail(error)


def _unknown_setting(error: str) -> str:
    """A sentence for what ml_collections says of an override whose name the config does not have."""
    name, close = re.search(r'\w+', error), re.search(r'Did you mean "(\w+)"', error)
    mend = f'did you mean {close[1]!r}?' if close else 'add it there to change it.'
    return f'--config: the experiment file has no setting {name[0]!r}; {mend}' if name else f'--config: {error}'


def _main(arguments: Sequence[str]) -> None:
    try:
        main(arguments)
    except (InputError, OSError, ImportError) as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    print(f'perturbjax: {_last_line(error)}', file=sys.stderr)
    sys.exit(2)


def _last_line(error: Exception) -> str:
    """The sentence of an error: of a traceback that a flag brings along, what the last line says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix(f'{InputError.__module__}.{InputError.__name__}: ') if lines else type(error).__name__


def run() -> None:
    """The console command."""
    app.run(_main, flags_parser=_parse)


if __name__ == '__main__':
    run()
