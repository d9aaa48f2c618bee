"""Strict settings for every test: four fake devices, no silent rank promotion, no reused key."""

import gc
import os
import pathlib

import hypothesis
import jax
import jaxtyping
import pytest

jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 4)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

# What the annotations of these rooms and files say is checked while the tests run: types, shapes and dtypes of all
# arguments and results. It must come before anything imports them. Only functions are checked, not the fields of a
# NamedTuple. The others are left out: `screens`, because jax rebuilds a Screen with placeholders for its arrays; files
# whose tests give a wrong type on purpose, or a fake device.
_CHECKED = [
    'perturbjax.models',
    'perturbjax.evaluation.metrics',
    'perturbjax.evaluation.referees',
    'perturbjax.planning',
    'perturbjax.prediction',
    'perturbjax.training.epoch',
    'perturbjax.training.optimizer',
    'perturbjax.training.sampling',
    'perturbjax.training.settings',
    'perturbjax.training.sharding',
    'perturbjax.training.train_state',
    'perturbjax.training.train_step',
]
# As for type checkers, an int is a float too.
jaxtyping.install_import_hook(_CHECKED, 'beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))')

# The same examples on every run, so that a failure can be met again.
hypothesis.settings.register_profile('stable', derandomize=True, deadline=None)
hypothesis.settings.load_profile('stable')

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Many tests compile the same programs, in both workers and in the processes that they start: these are kept on disk.
COMPILED = ROOT / 'build' / 'compiled'
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(COMPILED)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.02'
# A process that a test kills may leave a program damaged; JAX warns and compiles it again.
os.environ['PYTHONWARNINGS'] = 'ignore:Error reading persistent compilation cache entry'
jax.config.update('jax_compilation_cache_dir', str(COMPILED))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.02)

# Most of the suite's time goes into compiling. This leaves out what LLVM does to make programs fast, here and in the
# processes that tests start; XLA's own passes, which decide what is computed and in what order, are all run.
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'
jax.config.update('jax_disable_most_optimizations', True)

# Each compiled program holds a few memory maps. Linux ends a process that asks for more than 65,530 of them, and the
# whole suite in two workers comes near; half of that leaves room for any one file.
_MAPS = pathlib.Path('/proc/self/maps')
_MANY_MAPS = 30_000


# These files take longest, so they come first, in this order: workers that take a file at a time then end together.
_LONGEST = (
    'test_notebooks.py',
    'test_learning.py',
    'test_weights.py',
    'test_train_step.py',
    'test_experiment.py',
    'test_main.py',
    'test_two_way.py',
    'test_kernel.py',
    'test_features.py',
    'test_flax_model.py',
    'test_train.py',
    'test_residual.py',
    'test_selection.py',
)
_PLACE = {name: place for place, name in enumerate(_LONGEST)}


def pytest_collection_modifyitems(items):
    """Puts the files that take longest first, and leaves all else in its order."""
    items.sort(key=lambda item: _PLACE.get(item.path.name, len(_LONGEST)))


@pytest.fixture(scope='module', autouse=True)
def few_memory_maps():
    """Compiled programs are forgotten after a file of tests once they hold many memory maps."""
    yield
    if _MAPS.exists() and len(_MAPS.read_bytes().splitlines()) > _MANY_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def as_users_run_it():
    """Programs are compiled with all optimisation, as outside the tests."""
    jax.config.update('jax_disable_most_optimizations', False)
    yield
    jax.config.update('jax_disable_most_optimizations', True)


@pytest.fixture
def shared():
    """The folder of real screens, which lies beside the project and is not part of it."""
    folder = ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'needs the real screens in {folder}, which are not there')
    return folder


@pytest.fixture
def golden():
    """The folder of reference numbers computed by the published code."""
    return pathlib.Path(__file__).parent / 'golden'
