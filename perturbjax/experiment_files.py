"""Where the experiment files are that come with perturbjax, in a checkout and in an installed wheel."""

import pathlib
import re
import traceback
import types

from perturbjax.errors import InputError
from perturbjax.paths import absolute

# What ml_collections says of a flag for a setting of numpy's or of another type that it does not know.
_UNSUPPORTED = re.compile(r"Type <class '(\S+)'> of field (\S+) is not supported")
_PACKAGE = pathlib.Path(__file__).parent


def experiment_path(config: str) -> str:
    """The experiment file that `--config` asks for, and after a colon the argument of its `get_config`.

    Args:
      config: the path of a file, such as `experiments/quickstart.py`, or the name of one that comes
        with perturbjax, such as `quickstart` or `lpm_lincs:a549_crispr`.

    Raises:
      InputError: there is no such file, or no experiment of that name.

    Example:
      >>> experiment_path('lpm_lincs:a549_crispr')  # doctest: +ELLIPSIS
      '...experiments/lpm_lincs.py:a549_crispr'
    """
    file, *argument = config.split(':', 1)
    known = known_experiments()
    if file in known:
        file = str(known[file])
    elif file.startswith(('~', '$')):
        file = absolute(file, '--config')
    if not pathlib.Path(file).is_file():
        what = 'file' if file.endswith('.py') else 'experiment'
        raise InputError(f'--config: there is no {what} {file!r}; by name there are {", ".join(known)}.')
    return ':'.join([file, *argument])


def known_experiments() -> dict[str, pathlib.Path]:
    """The experiment files that come with perturbjax, by name."""
    installed = _PACKAGE / 'experiments'
    folder = installed if installed.is_dir() else _PACKAGE.parent / 'experiments'
    return {path.stem: path for path in sorted(folder.glob('[!_]*.py'))}


def fault_in_experiment(error: BaseException) -> InputError | None:
    """A sentence for an error that arose inside an experiment file: the file, the line and the cause.

    None where it arose elsewhere (a flag, say), or where it is an InputError, which says all by itself.
    """
    for each in _chain(error):
        if isinstance(each, InputError):
            return None
        if isinstance(each, SyntaxError):
            return InputError(f'{each.filename}, line {each.lineno}: this is not Python ({each.msg}).')
        unsupported = _UNSUPPORTED.match(str(each))
        if unsupported:
            return InputError(
                f'--{unsupported[2]}: the experiment file has a {unsupported[1]} there, which a flag cannot change; '
                'write plain text or a plain number.'
            )
        if isinstance(each, AttributeError) and each.name == 'get_config':
            file = getattr(each.obj, '__file__', 'the experiment file')
            return InputError(f'{file}: it has no function get_config, which returns the config of an experiment.')
        places = [place for place in traceback.walk_tb(each.__traceback__) if _is_experiment(place[0])]
        if places:
            frame, line = places[-1]
            cause = ' '.join(str(each).split())
            return InputError(f'{frame.f_code.co_filename}, line {line}: {type(each).__name__}: {cause}')
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """The error and those it was raised from, the first of them first."""
    found = [error]
    while (before := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(before)
    return found[::-1]


def _is_experiment(frame: types.FrameType) -> bool:
    """Whether the frame is of the experiment file; ml_collections loads it as a module of this name."""
    return frame.f_globals.get('__name__') == 'config_config'
