"""Runs an experiment, or one stage of it, and writes everything into a folder.

perturbjax --config=quickstart --workdir=/tmp/run
perturbjax --config=lpm_lincs:a549_crispr --workdir=gs://bucket/run --config.training.epochs=10
perturbjax --config=my_experiment.py --workdir=/tmp/run --mode=predict --queries=pairs.csv

A second launch on the same workdir goes on where the first one stopped.
"""

import contextlib
import faulthandler
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from perturbjax.errors import InputError, of_system, reason
from perturbjax.experiment_files import experiment_path, fault_in_experiment
from perturbjax.paths import absolute, work_folder
from perturbjax.renames import RENAMED
from perturbjax.training import interruption

# Everything that needs JAX or AnnData is imported where it is used: flags are to be answered at once.

# As in experiment.py; a test compares them.
MODES = ('run', 'prepare', 'train', 'predict', 'grid', 'next', 'evaluate', 'embed', 'analyse', 'export')

_CONFIG = config_flags.DEFINE_config_file(
    'config',
    None,
    'experiment file, or the name of one that comes with perturbjax; after a colon its argument. '
    'A setting is changed as in --config.training.epochs=10',
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'folder for everything that the run writes, local or gs://')
_MODE = flags.DEFINE_enum('mode', 'run', MODES, 'all stages (run), or one of them')
_QUERIES = flags.DEFINE_string(
    'queries',
    '',
    'with --mode=predict: table (CSV, TSV, parquet) of the contexts and perturbations to predict; with --mode=next: of '
    'the candidates',
)
_CACHE = flags.DEFINE_string(
    'compilation_cache',
    None,
    "folder where compiled programs are kept for the next launch; by default one in the user's cache, none if empty",
)
_VERIFY = flags.DEFINE_bool(
    'verify', True, 'compare checkpoints with their sha256 when they are read; --noverify compares sizes alone'
)
_MULTIHOST = flags.DEFINE_bool('multihost', False, 'train on several hosts; launch the same line on each')
_COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of the first process; needed only where neither a TPU slice nor Slurm tells it'
)
_HOSTS = flags.DEFINE_integer(
    'hosts', None, 'number of processes; needed only where neither a TPU slice nor Slurm tells it', lower_bound=1
)
_HOST = flags.DEFINE_integer(
    'host', None, 'number of this process, from 0; needed only where --hosts is', lower_bound=0
)

_WEEK = 7 * 24 * 3600
# How a message of JAX's runtime begins; where a host is lost, some of them are ValueErrors.
_STATUS = re.compile('[A-Z_]+: ')


def main(_: Sequence[str]) -> None:
    """Runs what the flags ask for; raises InputError on flags that cannot be used."""
    _check_flags()
    from perturbjax import experiment, progress
    from perturbjax.compilation import keep_compiled, users_folder
    from perturbjax.config import as_config
    from perturbjax.training import manifest

    progress.is_launched, manifest.compares_contents = True, bool(_VERIFY.value)
    if _CACHE.value:
        keep_compiled(absolute(_CACHE.value, '--compilation_cache'))
    elif _CACHE.value is None and 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
        with contextlib.suppress(OSError):  # a home that cannot be written
            keep_compiled(users_folder())
    if _MULTIHOST.value:
        _join_hosts()
    config = as_config(_CONFIG.value)
    folder = work_folder(str(_WORKDIR.value))
    results = experiment.run(config, folder, str(_MODE.value), str(_QUERIES.value))
    if results is not None:
        from perturbjax.evaluation.tables import summary_table

        print(summary_table(results.summary), *results.verdict, sep='\n\n')
        print(f'report: {folder}/report.html')


def _check_flags() -> None:
    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells every file at INFO
    for name in ('config', 'workdir'):
        if flags.FLAGS[name].value is None and not flags.FLAGS[name].present:
            raise InputError(f'--{name} is needed, as in --config=quickstart --workdir=/tmp/run.')
    if _QUERIES.value and _MODE.value not in ('predict', 'next'):
        raise InputError('--queries goes with --mode=predict or --mode=next.')


def _join_hosts() -> None:
    """Waits for all hosts; those that have nothing left to do wait at the end for the first."""
    import jax

    from perturbjax.training import hosts

    jax.config.update('jax_enable_preemption_service', False)  # it would take SIGTERM for itself
    try:
        jax.distributed.initialize(
            _COORDINATOR.value,
            _HOSTS.value,
            _HOST.value,
            shutdown_timeout_seconds=_WEEK,
            initialization_timeout=600,
            # Where a host is lost JAX ends the others with a trace of its stack; `watch` is earlier.
            heartbeat_timeout_seconds=5 * hosts.SILENT,
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f'--multihost: the hosts did not find each other ({_last_line(error)}); launch the same line on each, '
            'and outside of TPU and Slurm give --coordinator, --hosts and --host.'
        ) from error
    faulthandler.disable()  # where the first host is lost JAX may abort, in which a stack of Python tells nothing
    interruption.listen()  # JAX has put its own handler in place
    hosts.watch(lambda sentence: _end_now(sentence, hosts.LOST))


def _end_now(sentence: str, code: int) -> NoReturn:
    """Ends the process without waiting for other hosts, which notice at once that it is gone."""
    sys.stdout.flush()
    interruption.end(sentence, code)


def _parse(arguments: Sequence[str]) -> Sequence[str]:
    """Parses the flags; ends with exit code 2 and one sentence where that cannot be done."""
    if {'--help', '-help', '-h', '-?'} & set(arguments):
        print(f'{__doc__}\nflags:\n{flags.FLAGS.module_help(flags.FLAGS.find_module_defining_flag("workdir"))}')
        sys.exit()
    try:
        return _read_flags(arguments)
    except (AttributeError, KeyError) as error:
        _fail(InputError(_unknown_setting(str(error))))
    except (flags.Error, InputError, OSError, TypeError, ValueError) as error:
        _fail(error)


def _read_flags(arguments: Sequence[str]) -> Sequence[str]:
    """Parses the flags; an error inside the experiment file becomes an InputError that says where it arose."""
    try:
        return flags.FLAGS(_with_paths(arguments))
    except Exception as error:
        fault = fault_in_experiment(error)
        if fault is None:
            raise
        raise fault from error


def _with_paths(arguments: Sequence[str]) -> list[str]:
    """The arguments with the path of the experiment file, where `--config` says its name."""
    found = list(arguments)
    for position, argument in enumerate(arguments):
        flag, is_joined, value = argument.partition('=')
        if flag not in ('--config', '-config'):
            continue
        if is_joined:
            found[position] = f'{flag}={_experiment(value)}'
        elif position + 1 < len(arguments):
            found[position + 1] = _experiment(arguments[position + 1])
    return found


def _experiment(config: str) -> str:
    """The path of an experiment file, whose folder it may import from, as Python lets a script do."""
    path = experiment_path(config)
    folder = os.path.dirname(os.path.abspath(path.split(':', 1)[0]))
    if folder not in sys.path:
        sys.path.append(folder)
    return path


def _unknown_setting(error: str) -> str:
    """A sentence for what ml_collections says of an override whose name the config does not have."""
    name, close = re.search(r'\w+', error), re.search(r'Did you mean "(\w+)"', error)
    if not name:
        return f'--config: {error}'
    new = [new for old, new in RENAMED.items() if old.split('.')[-1] == name[0]]
    if new:
        mend = f'it is called {new[0]!r} now.'
    else:
        mend = f'did you mean {close[1]!r}?' if close else 'add it there to change it.'
    return f'--config: the experiment file has no setting {name[0]!r}; {mend}'


def _main(arguments: Sequence[str]) -> None:
    try:
        main(arguments)
    except (InputError, OSError, ImportError) as error:
        _fail(fault_in_experiment(error) or error)
    except (RuntimeError, ValueError) as error:
        is_of_jax = isinstance(error, RuntimeError) or _STATUS.match(str(error))
        if not (_MULTIHOST.value and is_of_jax):
            raise
        from perturbjax.training import hosts

        _end_now(hosts.lost(reason(error)), hosts.LOST)


def _fail(error: Exception) -> NoReturn:
    if flags.FLAGS.is_parsed() and _MULTIHOST.value:
        _end_now(_last_line(error), 2)
    print(f'perturbjax: {_last_line(error)}', file=sys.stderr)
    sys.exit(2)


def _last_line(error: Exception) -> str:
    """The sentence of an error: of a traceback that a flag brings along, what the last line says."""
    if isinstance(error, OSError):
        return of_system(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix(f'{InputError.__module__}.{InputError.__name__}: ') if lines else type(error).__name__


def run() -> None:
    """The console command."""
    interruption.listen()
    try:
        app.run(_main, flags_parser=_parse)
    except interruption.Stopped as stopped:
        interruption.say(str(stopped))


if __name__ == '__main__':
    run()
