"""Time, memory and compilations of judging predictions of 500 perturbations x 2,000 readouts x 10 models.

    python benchmarks/judging.py
    python benchmarks/judging.py /tmp/quickstart/predictions.h5ad

Everything that `--mode=evaluate` computes is counted, the page and its figures are not: metrics, intervals, tests,
calibration, curves. The first call compiles, the second does not.
"""

import resource
import sys
import time

import anndata
import jax
import numpy as np
import pandas as pd

from perturbjax.evaluation.results import judge
from perturbjax.evaluation.summary import BASELINES

PERTURBATIONS, READOUTS, MODELS = 500, 2_000, 10


def generated() -> anndata.AnnData:
    """Log-normalised profiles of one context with everything known that is known of cells."""
    rng = np.random.default_rng(0)
    shape = PERTURBATIONS, READOUTS
    control = np.broadcast_to(rng.uniform(0, 3, READOUTS), shape)
    truth = control + rng.normal(0, 0.2, shape)
    halves = {f'{which}_half': truth + rng.normal(0, 0.1, shape) for which in ('first', 'second')}
    mean = np.broadcast_to(truth.mean(axis=0), shape)
    names = ['mean', 'no_change', *(f'model{number}' for number in range(MODELS - 2))]
    layers = {'truth': truth, 'control': control, 'perturbed_mean': mean, 'rest_mean': mean, **halves}
    layers |= {name: np.full(shape, 0.1) for name in ('variance', 'control_variance', 'rest_variance')}
    layers |= {'rest_cells': np.full(shape, 5_000.0), 'mean': mean, 'no_change': control}
    layers |= {name: (truth + mean) / 2 + rng.normal(0, 0.1, shape) for name in names[2:]}
    obs = pd.DataFrame(
        {
            'split': 13,
            'screen': 'screen',
            'context': 'K562',
            'perturbation': [f'CRISPRi_r{i}' for i in range(PERTURBATIONS)],
            'cells': 50,
            'control_cells': 5_000,
        },
        index=[str(i) for i in range(PERTURBATIONS)],
    )
    var = pd.DataFrame(index=[f'r{i}' for i in range(READOUTS)])
    uns = {'models': names, 'scale': {'screen': 'log1p'}}
    return anndata.AnnData(
        obs=obs, var=var, layers={name: np.array(each, np.float32) for name, each in layers.items()}, uns=uns
    )


def main() -> None:
    predictions = anndata.read_h5ad(sys.argv[1]) if len(sys.argv) > 1 else generated()
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith('backend_compile_duration') else None
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        judge(predictions)
        seconds.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_SELF)
    rules = [name for name in predictions.uns['models'] if name in BASELINES]
    size = ' x '.join(f'{number:,}' for number in (*predictions.shape, len(predictions.uns['models'])))
    print(f'{size} (profiles, readouts, models; {len(rules)} simple rules), jax {jax.__version__}')
    print(f'first call {seconds[0]:.1f} s, second call {seconds[1]:.1f} s, {len(compiled)} compilations')
    print(f'{after.ru_utime - before.ru_utime:.1f} s of processors in both')
    print(f'peak memory grew by {(after.ru_maxrss - before.ru_maxrss) / 1024:,.0f} MiB')


if __name__ == '__main__':
    main()
