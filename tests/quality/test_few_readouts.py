"""How alike contexts answer in screens of one or two readouts, against pandas."""

import numpy as np
import pandas as pd
from screens_for_tests import measurements

from perturbjax.quality.agreement import agreement
from perturbjax.quality.few_readouts import over_perturbations
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble


def response(values: pd.DataFrame, name='screen', dtype=np.float64):
    """A screen of one readout from a table of perturbations x contexts; NaN has no profile."""
    known = values.stack()
    return measurements([(c, p, (v,)) for (p, c), v in known.items()], ['auc'], name, dtype=dtype)


def test_it_is_the_correlation_over_the_shared_perturbations():
    rng = np.random.default_rng(0)
    values = pd.DataFrame(1e4 + rng.normal(size=(9, 4)), list('ghijklmno'), list('abcd'))
    values = values.mask(rng.random(values.shape) < 0.3)
    values['d'] = np.where(np.arange(9) < 2, values['d'], np.nan)  # too few
    table = agreement(assemble([response(values)], ['fitness']))
    expected = values.corr(min_periods=3)
    np.testing.assert_allclose(table.to_numpy(), expected.mask(np.eye(4, dtype=bool)), atol=1e-6)


def test_what_does_not_vary_has_no_correlation():
    values = pd.DataFrame({'a': [0.1, 0.1, 0.1, 0.1], 'b': [1.0, 2.0, 3.0, 4.0]}, list('ghij'))
    assert agreement(assemble([response(values)], ['fitness'])).isna().to_numpy().all()


def test_contexts_of_two_screens_are_compared_too():
    one = pd.DataFrame({'a': [1.0, 2.0, 3.0, 5.0]}, list('ghij'))
    other = pd.DataFrame({'b': [5.0, 3.0, 2.0, 0.0, 9.0]}, list('jihgz'))
    table = agreement(assemble([response(one, 'one'), response(other, 'other')], ['fitness'] * 2))
    np.testing.assert_allclose(table.loc['a', 'b'], np.corrcoef([1, 2, 3, 5], [0, 2, 3, 5])[0, 1], atol=1e-6)
    assert table.loc['b', 'a'] == table.loc['a', 'b']


def test_the_halves_of_each_context():
    rng = np.random.default_rng(0)
    rows = [('a', name, (i + rng.normal(),)) for i, name in enumerate('ghij') for _ in range(4)]
    profiles = average(measurements(rows, ['x']))
    compendium = assemble([profiles], ['fitness'])
    r = np.corrcoef(*profiles.halves[:, :, 0])[0, 1]
    np.testing.assert_allclose(over_perturbations(compendium)[1], [r], rtol=1e-5)
    np.testing.assert_allclose(agreement(compendium).loc['a', 'a'], 2 * r / (1 + r), rtol=1e-5)
