"""Time, memory and compilations of judging predictions of 500 perturbations x 2,000 readouts x 10 models.

    python benchmarks/judging.py
    python benchmarks/judging.py /tmp/quickstart/predictions.h5ad
    python benchmarks/judging.py --memory --perturbations=2000 --readouts=10000 --metrics=l2,pearson_delta,mae

Everything that `--mode=evaluate` computes is counted, the page and its figures are not: metrics, intervals, tests,
calibration, curves. The first call compiles, the second does not. With `--memory` the predictions are written to a file
first, and judged once in a process of its own with their layers in memory, and once as `--mode=evaluate` reads them:
the most anonymous memory of each, which is what the process allocates and not the files that it maps.
"""

import pathlib
import resource
import tempfile
import time
from collections.abc import Callable, Sequence

import anndata
import jax
import numpy as np
import pandas as pd
from absl import app, flags
from etils import epath
from measuring import watched

from perturbjax import workdir
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.results import judge
from perturbjax.evaluation.summary import BASELINES

_PERTURBATIONS = flags.DEFINE_integer('perturbations', 500, 'held-out perturbations')
_READOUTS = flags.DEFINE_integer('readouts', 2_000, 'readouts')
_MODELS = flags.DEFINE_integer('models', 10, 'models, two simple rules among them')
_METRICS = flags.DEFINE_list('metrics', list(METRICS), 'metrics to judge by')
_MEMORY = flags.DEFINE_bool('memory', False, 'measure memory, with layers in memory and on disk')


def generated(perturbations: int, readouts: int, models: int) -> anndata.AnnData:
    """Log-normalised profiles of one context with everything known that is known of cells."""
    rng = np.random.default_rng(0)
    shape = perturbations, readouts
    control = np.broadcast_to(rng.uniform(0, 3, readouts), shape)
    truth = control + rng.normal(0, 0.2, shape)
    halves = {f'{which}_half': truth + rng.normal(0, 0.1, shape) for which in ('first', 'second')}
    mean = np.broadcast_to(truth.mean(axis=0), shape)
    names = ['mean', 'no_change', *(f'model{number}' for number in range(models - 2))]
    layers = {'truth': truth, 'control': control, 'perturbed_mean': mean, 'rest_mean': mean, **halves}
    layers |= {name: np.full(shape, 0.1) for name in ('variance', 'control_variance', 'rest_variance')}
    layers |= {'rest_cells': np.full(shape, 5_000.0), 'mean': mean, 'no_change': control}
    layers |= {name: (truth + mean) / 2 + rng.normal(0, 0.1, shape) for name in names[2:]}
    obs = pd.DataFrame(
        {
            'split': 13,
            'screen': 'screen',
            'context': 'K562',
            'perturbation': [f'CRISPRi_r{i}' for i in range(perturbations)],
            'cells': 50,
            'control_cells': 5_000,
        },
        index=[str(i) for i in range(perturbations)],
    )
    var = pd.DataFrame(index=[f'r{i}' for i in range(readouts)])
    uns = {'models': names, 'scale': {'screen': 'log1p'}}
    return anndata.AnnData(
        obs=obs, var=var, layers={name: np.array(each, np.float32) for name, each in layers.items()}, uns=uns
    )


def judged(begin: Callable[[str], None], path: str, on_disk: bool, metrics: Sequence[str]) -> None:
    """Reads a file of predictions and judges it."""
    jax.numpy.zeros(1).block_until_ready()
    begin('read')
    predictions = workdir.read_anndata(epath.Path(path)) if on_disk else anndata.read_h5ad(path)
    begin('judge')
    judge(predictions, metrics=metrics)


def tell_memory() -> None:
    """Prints the memory of judging with layers in memory, and on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / 'predictions.h5ad')
        predictions = generated(_PERTURBATIONS.value, _READOUTS.value, _MODELS.value)
        size = sum(layer.nbytes for layer in predictions.layers.values())
        predictions.write_h5ad(path)
        del predictions
        print(f'{size / 2**20:,.0f} MiB of layers')
        for name, on_disk in (('in memory', False), ('on disk', True)):
            _, most = watched(judged, path, on_disk, _METRICS.value)
            print(
                f'{name:12}' + ', '.join(f'{phase} {each / 2**20:,.0f} MiB' for phase, each in most.items()), flush=True
            )


def tell_time(given: Sequence[str]) -> None:
    """Prints the time of judging a file, or what is generated."""
    sizes = _PERTURBATIONS.value, _READOUTS.value, _MODELS.value
    predictions = anndata.read_h5ad(given[0]) if given else generated(*sizes)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith('backend_compile_duration') else None
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        judge(predictions, metrics=_METRICS.value)
        seconds.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_SELF)
    rules = [name for name in predictions.uns['models'] if name in BASELINES]
    size = ' x '.join(f'{number:,}' for number in (*predictions.shape, len(predictions.uns['models'])))
    print(f'{size} (profiles, readouts, models; {len(rules)} simple rules), jax {jax.__version__}')
    print(f'first call {seconds[0]:.1f} s, second call {seconds[1]:.1f} s, {len(compiled)} compilations')
    print(f'{after.ru_utime - before.ru_utime:.1f} s of processors in both')
    print(f'peak memory grew by {(after.ru_maxrss - before.ru_maxrss) / 1024:,.0f} MiB')


def main(given: Sequence[str]) -> None:
    if _MEMORY.value:
        tell_memory()
    else:
        tell_time(given[1:])


if __name__ == '__main__':
    app.run(main)
