"""Where the experiment files are that come with perturbjax, in a checkout and in an installed wheel."""

import pathlib

from perturbjax.errors import InputError

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
    elif not pathlib.Path(file).is_file():
        what = 'file' if file.endswith('.py') else 'experiment'
        raise InputError(f'--config: there is no {what} {file!r}; by name there are {", ".join(known)}.')
    return ':'.join([file, *argument])


def known_experiments() -> dict[str, pathlib.Path]:
    """The experiment files that come with perturbjax, by name."""
    installed = _PACKAGE / 'experiments'
    folder = installed if installed.is_dir() else _PACKAGE.parent / 'experiments'
    return {path.stem: path for path in sorted(folder.glob('[!_]*.py'))}
