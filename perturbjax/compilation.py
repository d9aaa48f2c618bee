"""Compiled programs that are kept on disk, so that the next launch does not compile them again."""

import hashlib
import os
import pathlib
import platform
import warnings

import jax
from etils import epath

# What takes less time to compile is hardly slower to compile again than to read.
_WORTH_KEEPING = 0.05


def keep_compiled(folder: str) -> None:
    """Keeps compiled programs in the folder from now on; a program that is damaged there is compiled again.

    Raises OSError where the folder cannot be made.
    """
    epath.Path(folder).mkdir(parents=True, exist_ok=True)
    # JAX warns of each program that a launch which was killed left damaged, and compiles it again.
    warnings.filterwarnings('ignore', 'Error (reading|writing) persistent compilation cache entry')
    jax.config.update('jax_compilation_cache_dir', folder)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', _WORTH_KEEPING)


def users_folder() -> str:
    """The folder in the user's cache; one for each kind of processor, as homes are shared between machines."""
    cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return str(pathlib.Path(cache) / 'perturbjax' / 'compiled' / _processor())


def _processor() -> str:
    """A name for what this processor can do, such as `x86_64-1f0a2b3c`: programs may use all of it."""
    described = pathlib.Path('/proc/cpuinfo')
    lines = described.read_text().splitlines() if described.exists() else [platform.processor()]
    # A line for each core says the same; frequencies and numbers of cores are no part of it.
    features = sorted({line for line in lines if line.lower().startswith(('flags', 'features', 'model name'))} or lines)
    return f'{platform.machine()}-{hashlib.sha256(os.fsencode(str(features))).hexdigest()[:8]}'
