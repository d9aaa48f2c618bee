"""The linear model on 5 splits, 10 ranks and 10 ridges: one compiled call compared with loops in NumPy.

    python benchmarks/linear_sweep.py [--repeats=5] [--genes=1000] [--perturbations=300]

The screen is simulated: single perturbations of genes that are also readouts. Each of 5 random splits holds
out a fifth of the perturbations. There are two NumPy loops, both in float32 as the compiled call is. One makes
one SVD per split, as the compiled call does, and computes once what several models share. The other fits
every model separately; it runs on one split only, and its time is multiplied by the number of splits.

All three run in turn in one process. The table holds median times without compilation, which is printed
separately. The script fails where the three do not agree. It takes half a minute on 2 CPU cores. On a machine
that others use too, set OPENBLAS_NUM_THREADS=1, because NumPy's threads wait for each other.
"""

import statistics
import time

import jax
import numpy as np
from absl import app, flags

from perturbjax.evaluation.linear_sweep import linear_sweep
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.screens.splits import TEST, TRAIN, Split, make_split

RANKS = (2, 4, 6, 8, 10, 15, 20, 30, 40, 50)
RIDGES = tuple(float(ridge) for ridge in np.logspace(-3, 2, 10))

_REPEATS = flags.DEFINE_integer('repeats', 5, 'times that each is run')
_GENES = flags.DEFINE_integer('genes', 1000, 'readouts')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 300, 'perturbed genes, all of them readouts')
_SPLITS = flags.DEFINE_integer('splits', 5, 'random splits')


def simulated(genes: int, perturbations: int, programs: int = 8) -> Compendium:
    """A simulated screen: genes of the same programs vary together and have similar effects when perturbed."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(genes, programs))
    effect = loadings[:perturbations] @ rng.normal(size=(programs, programs)) @ loadings.T / programs
    change = np.vstack([np.zeros(genes), effect + 0.3 * rng.normal(size=effect.shape)])
    names = [f'gene{i}' for i in range(genes)]
    profiles = Measurements(
        name='simulated',
        values=(rng.gamma(2, 1, genes) + change).astype(np.float32),
        context=np.full(perturbations + 1, 'cell', object),
        perturbation=np.array(['control', *names[:perturbations]], object),
        readout=np.array(names, object),
    )
    return assemble([profiles], ['as-measured'])


def profiles_of(compendium: Compendium) -> tuple[np.ndarray, np.ndarray]:
    """Values `[N, M]`, control first, and the index `[N]` of each perturbed gene among the readouts (-1: control)."""
    (screen,) = compendium.screens
    place = {name: i for i, name in enumerate(compendium.vocabulary.readouts)}
    names = compendium.vocabulary.perturbation_names(screen.perturbation)
    return screen.values, np.array([place.get(name, -1) for name in names])


def fit_each(values: np.ndarray, gene: np.ndarray, splits: list[Split]) -> np.ndarray:
    """Errors `[S, R, L, T]`; every model is fitted from scratch."""
    return np.array(
        [[[_fit_one(values, gene, split, rank, ridge) for ridge in RIDGES] for rank in RANKS] for split in splits]
    )


def _fit_one(values: np.ndarray, gene: np.ndarray, split: Split, rank: int, ridge: float) -> np.ndarray:
    train, test = split.mask(TRAIN)[0], split.mask(TEST)[0]
    G = _scores(values[train], rank)
    P = np.where(gene[train, None] < 0, 0, G[gene[train]])
    change = values[train] - values[0]
    b = change.mean(axis=0)
    eye = np.float32(ridge) * np.eye(rank, dtype=np.float32)
    left = np.linalg.solve(G.T @ G + eye, (change - b).dot(G).T @ P)
    W = np.linalg.solve(P.T @ P + eye, left.T).T
    return np.linalg.norm(G[gene[test]] @ W.T @ G.T + (b + values[0]) - values[test], axis=1)


def fit_shared(values: np.ndarray, gene: np.ndarray, splits: list[Split]) -> np.ndarray:
    """Errors `[S, R, L, T]`; one SVD per split, and for each rank all ridges are solved together."""
    return np.array([_fit_split(values, gene, split) for split in splits])


def _fit_split(values: np.ndarray, gene: np.ndarray, split: Split) -> np.ndarray:
    train, test = split.mask(TRAIN)[0], split.mask(TEST)[0]
    G = _scores(values[train], max(RANKS))
    P = np.where(gene[train, None] < 0, 0, G[gene[train]])
    change = values[train] - values[0]
    b = change.mean(axis=0)
    readouts, profiles, between = G.T @ G, P.T @ P, (change - b).dot(G).T @ P
    truth, asked = values[test] - values[0] - b, G[gene[test]]
    ridges = np.array(RIDGES, np.float32)[:, None, None]
    errors = []
    for rank in RANKS:
        eyes = ridges * np.eye(rank, dtype=np.float32)
        left = np.linalg.solve(readouts[:rank, :rank] + eyes, between[None, :rank, :rank])
        W = np.linalg.solve(profiles[:rank, :rank] + eyes, left.swapaxes(1, 2))
        predictions = (asked[:, :rank] @ W) @ G[:, :rank].T
        errors.append(np.linalg.norm(predictions - truth, axis=2))
    return np.array(errors)


def _scores(levels: np.ndarray, rank: int) -> np.ndarray:
    """PCA scores `[M, R]`, with the readouts as the observations."""
    u, s, _ = np.linalg.svd((levels - levels.mean(axis=1, keepdims=True)).T, full_matrices=False)
    return (u * s)[:, :rank]


def timed(run) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    result = jax.block_until_ready(run())
    return np.asarray(result), time.perf_counter() - began


def main(_) -> None:
    compendium = simulated(_GENES.value, _PERTURBATIONS.value)
    splits = [make_split(compendium, 'unseen_single', seed) for seed in range(_SPLITS.value)]
    values, gene = profiles_of(compendium)
    training = (np.stack([split.mask(TRAIN)[0] for split in splits]),)
    tested = (np.stack([np.flatnonzero(split.mask(TEST)[0]) for split in splits]),)
    # What each variant runs, and by what its time is multiplied.
    runs = {
        'one compiled call': (lambda: linear_sweep(compendium, training, tested, RANKS, RIDGES).linear, 1),
        'loop, one SVD per split': (lambda: fit_shared(values, gene, splits), 1),
        'loop, every model on its own': (lambda: fit_each(values, gene, splits[:1]), len(splits)),
    }
    first, compilation = timed(runs['one compiled call'][0])
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_REPEATS.value):
        for name, (run, times) in runs.items():
            errors, took = timed(run)
            seconds[name].append(took * times)
            np.testing.assert_allclose(errors, first[: len(errors)], rtol=2e-3, err_msg=name)
    show({name: statistics.median(each) for name, each in seconds.items()}, compilation, first)


def show(medians: dict[str, float], compilation: float, errors: np.ndarray) -> None:
    by_setting, call = errors.mean(axis=(0, 3)), next(iter(medians.values()))
    print(f'{errors[..., 0].size} models; the first call, with compilation: {compilation:.1f} s')
    print(f'L2 by rank and ridge: {by_setting.min():.2f} to {by_setting.max():.2f}')
    print(f'{"":30}{"seconds":>9}{"/ call":>9}')
    for name, median in medians.items():
        print(f'{name:30}{median:9.3f}{median / call:9.2f}')


if __name__ == '__main__':
    app.run(main)
