"""Trees on embedding tables; where numbers must be exact, least squares stands in for them."""

import sys

import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.interop.predictions import add_foreign, read_predictions
from perturbjax.interop.trees import boosted_trees
from perturbjax.prediction.file import held_out, stack
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, Split

GENES = [f'G{i}' for i in range(12)]
READOUTS = [f'R{i}' for i in range(8)]
HELD_OUT = ('G1', 'G5', 'G2+G3', 'G11')


class LeastSquares:
    """An exact answer where the truth is linear in the features; keeps what it was fitted on."""

    def fit(self, features, values):
        self.features, self.values = features, values
        self.weights = np.linalg.lstsq(features, values, rcond=None)[0]

    def predict(self, features):
        return features @ self.weights


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Three numbers for each gene but G11 and each readout but R7."""
    folder, rng = tmp_path_factory.mktemp('vectors'), np.random.default_rng(0)
    for name, known in (('genes', GENES[:-1]), ('readouts', READOUTS[:-1])):
        pd.DataFrame(rng.normal(size=(3, len(known))), columns=known).to_csv(
            folder / f'{name}.tsv', sep='\t', index=False
        )
    return str(folder / 'genes.tsv'), str(folder / 'readouts.tsv')


def make(files, effect):
    """A compendium of two screens whose panels differ, its split, and `effect(gene vector, readout vector)`."""
    tables = [pd.read_csv(file, sep='\t') for file in files]
    genes, readouts = (table.assign(**{name: 0.0}) for table, name in zip(tables, ('G11', 'R7'), strict=True))
    level = dict(zip(READOUTS, range(8), strict=True))

    def screen(name, context, panel):
        rows = [(context, 'control', [level[each] for each in panel])]
        for perturbation in [*GENES, 'G2+G3', 'G4+G6']:
            gene = sum(genes[part].to_numpy() for part in perturbation.split('+'))
            rows.append((context, perturbation, [level[each] + effect(gene, readouts[each]) for each in panel]))
        return measurements(rows, panel, name)

    compendium = assemble([screen('one', 'a', READOUTS[:6]), screen('two', 'b', READOUTS[3:])], ['log1p'] * 2)
    table = compendium.table()
    roles = np.where(table['perturbation'].isin(HELD_OUT), TEST, TRAIN).astype(np.int8)
    return compendium, Split('by hand', 13, tuple(np.split(roles, [len(table) // 2])))


def truth_of(compendium, split):
    """The held-out profiles over all readouts, NaN where a screen does not measure one."""
    return pd.concat([block.data.to_df('truth') for block in held_out(compendium, split)])[READOUTS].to_numpy()


def linear_effect(gene, readout):
    return gene @ [1, -2, 0.5] + readout @ [0.3, 1, -1]


def test_what_is_linear_in_the_vectors_is_predicted_exactly(files):
    compendium, split = make(files, linear_effect)
    table = boosted_trees(compendium, split, *files, regressor=LeastSquares())
    assert list(table.columns) == ['context', 'perturbation', *READOUTS]
    assert table.groupby('context')['perturbation'].apply(set).to_dict() == {'a': set(HELD_OUT), 'b': set(HELD_OUT)}
    has_vector = (table['perturbation'] != 'G11').to_numpy()[:, None] & (table.columns[2:] != 'R7')
    np.testing.assert_allclose(table[READOUTS], np.where(has_vector, truth_of(compendium, split), np.nan), atol=2e-5)


def test_it_is_fitted_on_measured_training_observations_with_vectors(files):
    compendium, split = make(files, linear_effect)
    compendium.screens[0].values[1, 0] = np.nan
    whole = LeastSquares()
    boosted_trees(compendium, split, *files, regressor=whole)
    # G0, G2, G3, G4, G6 to G10 and G4+G6 in each screen, with 6 and with 4 readouts, and one value not measured
    assert whole.features.shape == (10 * 6 + 10 * 4 - 1, 1 + 3 + 3)
    some = LeastSquares()
    boosted_trees(compendium, split, *files, regressor=some, observations=40)
    assert len(some.values) == 20 * 2
    drawn, every = (
        {(*row, value) for row, value in zip(each.features.tolist(), each.values.tolist(), strict=True)}
        for each in (some, whole)
    )
    assert len(drawn) == 40
    assert drawn < every


def test_wide_vectors_become_principal_components(files):
    compendium, split = make(files, linear_effect)
    regressor = LeastSquares()
    boosted_trees(compendium, split, *files, width=2, regressor=regressor)
    assert regressor.features.shape[1] == 1 + 2 + 2


def test_a_run_reads_what_they_predict(files, tmp_path):
    compendium, split = make(files, linear_effect)
    table = boosted_trees(compendium, split, *files, regressor=LeastSquares())
    table.to_csv(tmp_path / 'trees.csv', index=False)
    predictions = stack(held_out(compendium, split), [], {'one': 'log1p', 'two': 'log1p'})
    add_foreign(predictions, read_predictions(str(tmp_path / 'trees.csv')), 'trees', 'trees.csv', {'split': 13})
    predicted, truth = (predictions.to_df(layer).to_numpy() for layer in ('trees', 'truth'))
    both = ~np.isnan(predicted) & ~np.isnan(truth)
    assert both.sum() == 3 * 6 + 3 * 4
    np.testing.assert_allclose(predicted[both], truth[both], atol=2e-5)


def test_trees_learn_a_product_that_no_sum_of_effects_can(files):
    pytest.importorskip('sklearn', reason='scikit-learn is not installed')
    compendium, split = make(files, lambda gene, readout: 2 * np.sign(readout[0]) * (gene[0] > 0))
    table = boosted_trees(compendium, split, *files)
    again = boosted_trees(compendium, split, *files)
    pd.testing.assert_frame_equal(table, again)
    change = truth_of(compendium, split) - np.arange(8)
    left_over = truth_of(compendium, split) - table[READOUTS].to_numpy()
    assert np.nanmean(left_over**2) < 0.5 * np.nanmean(change[~np.isnan(left_over)] ** 2)


def test_bad_input_is_told(files, monkeypatch):
    compendium, split = make(files, linear_effect)
    monkeypatch.setitem(sys.modules, 'sklearn.ensemble', None)
    with pytest.raises(InputError, match=r"it needs scikit-learn; pip install 'perturbjax\[trees\]'"):
        boosted_trees(compendium, split, *files)
    with pytest.raises(InputError, match="no embedding from training; name a file, 'identity' or 'random'"):
        boosted_trees(compendium, split, 'training', files[1])
    with pytest.raises(InputError, match='width: 0 must be at least 1'):
        boosted_trees(compendium, split, *files, width=0)
