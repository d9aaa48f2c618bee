"""The published packages themselves beside ours, on the same pairs; skipped where they are not installed.

The golden files have their numbers for the runs without them.
"""

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from predictions_for_tests import predict
from referees_for_tests import REASON, THEIRS, as_cells, by_cell_eval2, draw_pair

from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.referees import MEMBERS, aggregate, make_pair, vcc2026
from perturbjax.evaluation.referees.distances import energy_distance, mmd, wasserstein
from perturbjax.evaluation.scores import compare, score
from perturbjax.interop.cell_eval import write_cell_eval
from perturbjax.readers.loading import load

# Other packages warn of each other.
pytestmark = pytest.mark.filterwarnings('ignore')

# Our metrics of profiles by the names of cell-eval2's.
OF_PROFILES = {
    'pds_l1': 'pds_l1',
    'pds_l2': 'pds_l2',
    'pds_cosine': 'pds_cosine',
    'mse': 'expr_mse',
    'mae': 'expr_mae',
    'pearson_delta': 'delta_pearson',
}


def papalexi(shared):
    path = str(shared / 'papalexi_2021.h5ad')
    fields = {'context': 'cell_line', 'control': ('non-targeting',), 'perturbation_type': 'CRISPR-KO'}
    return load({'source': 'h5ad', 'path': path, 'scale': 'log1p', 'counts': True, 'fields': fields})


def halves_of_papalexi(shared):
    """Every other cell of each target is the truth, the others predict it; control is whole on both sides."""
    data = anndata.read_h5ad(shared / 'papalexi_2021.h5ad')
    labels = data.obs['perturbation'].astype(str)
    is_first = (labels.groupby(labels).cumcount() % 2 == 0).to_numpy()
    is_control = (labels == 'non-targeting').to_numpy()
    sides = [np.flatnonzero(chosen | is_control) for chosen in (is_first, ~is_first)]
    return tuple(as_cells(data.X[rows].toarray(), list(labels.iloc[rows]), list(data.var_names)) for rows in sides)


def tied(seed=0):
    """Counts of at most 2 in few cells: nearly all values are tied, and some cells have none."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(7), [20] + [8] * 6)
    share, labels = rng.random((7, 25))[groups], np.array(['non-targeting', *(f'G{i}' for i in range(6))])[groups]
    return tuple(as_cells(rng.binomial(2, share * (rng.random((len(labels), 1)) < 0.9)), labels) for _ in range(2))


def check_suite(truth, prediction):
    theirs, total = by_cell_eval2(truth, prediction)
    ours = vcc2026(make_pair(truth, prediction))
    theirs, total = (
        theirs.reindex(columns=list(THEIRS.values())),
        total.reindex([each.theirs for each in MEMBERS.values()]),
    )
    assert list(ours.index) == list(theirs.index)
    for name, other in THEIRS.items():
        np.testing.assert_allclose(ours[name], theirs[other], rtol=1e-9, atol=1e-12, err_msg=name)
    for name, value in aggregate(ours).items():
        assert value == pytest.approx(total[MEMBERS[name].theirs], rel=1e-9, nan_ok=True), name


def test_the_suite_on_drawn_cells():
    check_suite(*draw_pair(seed=7, genes=80, perturbations=6, cells=30, control=60))


def test_the_suite_where_nearly_all_is_tied():
    check_suite(*tied())


def test_where_nothing_differs_they_stop_and_ours_is_not_defined():
    same = as_cells(np.tile([3, 1, 2], (8, 1)), ['non-targeting'] * 2 + ['G0'] * 3 + ['G1'] * 3)
    assert np.isnan(aggregate(vcc2026(make_pair(same, same)))['expression_error'])
    pytest.importorskip('cell_eval2', reason=REASON)
    with pytest.raises(ValueError, match='which is not positive'):
        by_cell_eval2(same, same)


def test_the_suite_on_papalexi(shared):
    check_suite(*halves_of_papalexi(shared))


def noisy(predictions):
    """The same predictions; those of `near` are off by as much as the truth differs from control."""
    change = predictions.layers['truth'] - predictions.layers['control']
    noise = np.random.default_rng(0).normal(0, change.std(), change.shape)
    predictions.layers['near'] = (predictions.layers['near'] + noise).astype(np.float32)
    return predictions


def check_export(predictions, folder, model='near', atol=1e-6):
    """Every context of the exported pair by cell-eval2, and the same profiles by our registry."""
    write_cell_eval(predictions, model, folder)
    real, pred = (anndata.read_h5ad(folder / f'{name}.h5ad') for name in ('real', 'pred'))
    ours = score(compare(predictions[:, real.var_names].copy(), metrics=tuple(OF_PROFILES))).query('model == @model')
    for context, rows in ours.groupby('context'):
        pair = (data[data.obs['celltype'] == context].copy() for data in (real, pred))
        theirs, _ = by_cell_eval2(*pair, counts=False, metrics=list(OF_PROFILES.values()), max_counts_per_cell=1e30)
        table = rows.pivot_table(index='perturbation', columns='metric', values='value', observed=True)
        table.index = [name.split('_', 1)[-1] for name in table.index]
        for name, other in OF_PROFILES.items():
            expected = theirs[other].reindex(table.index)
            np.testing.assert_allclose(table[name], expected, atol=atol, rtol=1e-4, err_msg=f'{context} {name}')


def test_exported_profiles_of_papalexi(shared, tmp_path):
    compendium = papalexi(shared)
    tested = sorted({name for name in compendium.table()['perturbation'] if name})[:12]
    check_export(noisy(predict(compendium, tested)), tmp_path)


def test_exported_profiles_of_simulated_screens(tmp_path):
    settings = {'contexts': 2, 'panels': 1, 'targets': 12, 'compounds': 0, 'doubles': 0, 'readouts': 40}
    compendium = load({'source': 'simulation', **settings})
    singles = compendium.table().query('order == 1')['perturbation'].unique()
    check_export(noisy(predict(compendium, list(singles)[:8])), tmp_path)


def test_exported_profiles_with_ties_and_gaps(tmp_path):
    rng = np.random.default_rng(3)
    rows = [('all', context, f'CRISPRi_G{gene}', 0) for context in ('K562', 'RPE1') for gene in range(7)]
    obs = pd.DataFrame(rows, columns=['screen', 'context', 'perturbation', 'split']).set_axis(map(str, range(14)))
    layers = {name: rng.integers(0, 3, (14, 20)) / 2 for name in ('truth', 'near', 'mean')}
    layers['near'][:2] = layers['near'][2:4]
    layers['control'] = np.tile(rng.integers(0, 3, 20) / 2, (14, 1))
    layers['perturbed_mean'] = layers['mean']
    for name, row, column in (('truth', 3, 11), ('near', 5, 12), ('near', 9, 13)):
        layers[name][row, column] = np.nan
    var = pd.DataFrame(index=[f'G{i}' for i in range(20)])
    layers = {name: values.astype(np.float32) for name, values in layers.items()}
    uns = {'models': ['mean', 'near'], 'scale': {'all': 'log1p'}}
    check_export(anndata.AnnData(obs=obs, var=var, layers=layers, uns=uns), tmp_path)
    assert set(OF_PROFILES) <= METRICS.keys()


def test_distances_of_pertpy():
    tools = pytest.importorskip('pertpy.tools', reason='needs pertpy: pip install pertpy', exc_type=ImportError)
    rng = np.random.default_rng(5)
    x, y = rng.random((30, 8)), rng.random((20, 8)) + 0.3
    assert energy_distance(x, y) == pytest.approx(tools.Distance('edistance')(x, y))
    with jax.numpy_rank_promotion('allow'):
        assert wasserstein(x, y) == pytest.approx(tools.Distance('wasserstein')(x, y), rel=1e-5)
    for kernel in ('linear', 'rbf', 'poly'):
        assert mmd(x, y, kernel) == pytest.approx(tools.Distance('mmd')(x, y, kernel=kernel))
