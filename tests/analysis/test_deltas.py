import numpy as np
from screens_for_tests import measurements, two_contexts

from perturbjax.analysis.deltas import mean_deltas
from perturbjax.screens.screen import assemble


def test_mean_changes_by_hand():
    """g changes by (1, 2) in a and by (4, 8) in b; of h only x is measured, in a."""
    found = mean_deltas(two_contexts())
    assert list(found.obs['name']) == ['g', 'h']
    assert list(found.obs['training_profiles']) == [2, 1]
    assert list(found.var_names) == ['x', 'y']
    np.testing.assert_allclose(found.X, [[2.5, 5], [0, np.nan]])


def test_only_training_profiles_count():
    compendium = two_contexts()
    table = compendium.table()
    training = ((table['context'] == 'b') | (table['order'] == 0)).to_numpy()
    found = mean_deltas(compendium, (training,))
    assert list(found.obs['name']) == ['g']
    np.testing.assert_allclose(found.X, [[4, 8]])


def test_panels_may_differ():
    screens = [
        measurements([('a', 'control', (1, 2)), ('a', 'CRISPRi_g', (2, 5))], ['x', 'y'], 'one'),
        measurements([('b', 'control', (1, 1)), ('b', 'CRISPRi_g', (4, 3))], ['y', 'z'], 'two'),
    ]
    found = mean_deltas(assemble(screens, ['log1p'] * 2))
    assert found.obs[['type', 'target']].values.tolist() == [['CRISPRi', 'g']]
    np.testing.assert_allclose(found.X, [[1, 3, 2]])
