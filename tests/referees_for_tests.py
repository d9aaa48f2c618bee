"""Pairs of true and predicted cells, and what the published packages say of them, for the tests of the referees."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax.evaluation.referees.pair import CONTROL

REASON = "needs cell-eval2: pip install 'perturbjax[referees]'"
# Columns of our tables by the names of cell-eval2's metrics of single perturbations.
THEIRS = {
    'pds_cosine': 'pds_cosine',
    'expression_error_squared': 'expr_mse_unbiased_capped',
    'expression_effect_squared': 'expr_distance_unbiased',
    'change_nmae': 'de_wilcoxon_lfc_nmae',
    'direction_fidelity': 'de_wilcoxon_direction_fidelity_yield_raw',
    'direction_reach': 'de_wilcoxon_direction_reach_raw',
    'significant_jaccard': 'de_wilcoxon_sig_jaccard',
}


def as_cells(values, labels, genes=None, sparse=True):
    """AnnData of cells `[N, M]` with one label each."""
    genes = genes or [f'G{i}' for i in range(np.shape(values)[1])]
    obs = pd.DataFrame({'target': labels}, index=[f'cell {i}' for i in range(len(labels))])
    values = np.asarray(values, np.float32)
    return anndata.AnnData(
        scipy.sparse.csr_matrix(values) if sparse else values, obs=obs, var=pd.DataFrame(index=genes)
    )


def draw_pair(seed=0, genes=40, perturbations=5, cells=12, control=30, depth=2000, effect=1.5, wrong=0.15):
    """Counts of cells whose perturbation changes a third of the readouts, and a prediction that is wrong at times.

    The last readout is never seen in control. The prediction has a third fewer cells.
    """
    rng = np.random.default_rng(seed)
    level, names = rng.gamma(1, 1, genes), [f'G{i}' for i in range(perturbations)]
    changes = rng.normal(0, effect, (perturbations, genes)) * (rng.random((perturbations, genes)) < 1 / 3)
    np.fill_diagonal(changes, -3)
    predicted = changes * rng.uniform(0.3, 1.2, changes.shape) * np.where(rng.random(changes.shape) < wrong, -1, 1)
    pair = []
    for each, number in ((changes, cells), (predicted, cells - cells // 3)):
        means = [level * (np.arange(genes) < genes - 1), *level * np.exp(each)]
        numbers = [control, *[number] * perturbations]
        parts = [_draw(rng, mean / mean.sum(), n, depth) for mean, n in zip(means, numbers)]
        pair.append(as_cells(np.concatenate(parts), np.repeat([CONTROL, *names], numbers)))
    return tuple(pair)


def _draw(rng, share, cells, depth):
    total = rng.gamma(5, depth / 5, (cells, 1))
    return rng.poisson(total * share * rng.gamma(4, 1 / 4, (cells, len(share))))


def read_golden(path):
    """The pairs of `referees_cell_eval2.json`, and what cell-eval2 says of each, by the name of the case."""
    cases = json.loads(path.read_text())
    for case in cases.values():
        case['pair'] = tuple(as_cells(values, labels) for labels, values in (case['truth'], case['prediction']))
    return cases


def by_cell_eval2(truth, prediction, counts=True, metrics='vcc2026', **changed):
    """Each perturbation's metrics by cell-eval2, and their aggregates; skips where it is not installed."""
    pytest.importorskip('cell_eval2', reason=REASON)
    from cell_eval2.config import EvalConfig
    from cell_eval2.run import aggregate_metrics, compute_metrics

    settings = EvalConfig.from_preset('vcc2026').to_dict()
    settings |= {'metrics': metrics, 'input_type': 'counts' if counts else 'lognorm', 'cache_strict': False} | changed
    found = compute_metrics(prediction, truth, config=EvalConfig.from_dict(settings))
    table = pd.DataFrame(found.to_dicts()).pivot_table(
        index='perturbation', columns='metric', values='value', dropna=False, observed=True
    )
    return table, pd.DataFrame(aggregate_metrics(found).to_dicts()).set_index('metric')['mean']
