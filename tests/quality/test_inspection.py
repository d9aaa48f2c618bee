"""What a compendium holds, counted by hand."""

import numpy as np
import pytest
from screens_for_tests import measurements, two_contexts

from perturbjax.quality.inspection import inspect
from perturbjax.quality.shares import percent
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble


@pytest.fixture
def small():
    return inspect(two_contexts())


def test_facts_and_screens(small):
    assert small.facts == {
        'Screens': '1',
        'Contexts': '2',
        'Perturbations': '2 single, 1 double',
        'Readouts': '2',
        'Profiles': '6',
        'Values': '11; 8.3% are missing',
        'Rows in a profile': '1',
        'Scale': 'log1p: ln(1 + counts per 10,000)',
    }
    assert small.screens.iloc[0].to_dict() == {
        'screen': 'screen',
        'scale': 'log1p',
        'contexts': 2,
        'profiles': 6,
        'perturbations': 3,
        'orders': '2 single, 1 double',
        'readouts': 2,
        'missing': 1 / 12,
        'rows': '1',
        'lowest': 1,
        '1%': pytest.approx(1),
        'median': 5,
        '99%': pytest.approx(27.2),
        'highest': 28,
    }


def test_contexts(small):
    assert list(small.contexts.index) == ['a', 'b']
    assert small.contexts[['perturbations', 'elsewhere', 'rows', 'control_rows']].to_numpy().tolist() == [
        [3, 1, 4, 1],
        [1, 1, 2, 1],
    ]
    assert small.perturbations.to_numpy().tolist() == [[3, 1], [1, 1]]
    assert small.contexts[['alike', 'repeat']].isna().to_numpy().all()


def random(contexts='ab', perturbations='ghkl', shared=1.0, replicates=6):
    """Contexts that answer alike as far as `shared` says."""
    rng = np.random.default_rng(0)
    common = {name: rng.normal(size=30) for name in perturbations}
    rows = []
    for context in contexts:
        own = {name: rng.normal(size=30) for name in perturbations}
        centre = {name: 5 + shared * common[name] + (1 - shared) * own[name] for name in perturbations}
        for name in ['control', *perturbations]:
            rows += [(context, name, centre.get(name, 5) + 0.3 * rng.normal(size=30)) for _ in range(replicates)]
    return assemble([average(measurements(rows, [f'r{i}' for i in range(30)]))], ['log1p'])


def test_rows_and_agreement():
    found = inspect(random())
    assert found.facts['Rows in a profile'] == '6'
    assert (found.contexts['rows'] == 30).all()
    assert (found.contexts['control_rows'] == 6).all()
    np.testing.assert_allclose(found.contexts['alike'], found.agreement.loc['a', 'b'])
    np.testing.assert_allclose(found.contexts['repeat'], np.diag(found.agreement))


def test_the_verdict_follows_what_contexts_share():
    assert inspect(random()).verdict == [
        'Of 8 pairs of a context and one of its perturbations, 8 (100.0%) are of perturbations that another '
        'context has too: enough to transfer.',
        'Of 60 pairs of a context and one of its readouts, 60 (100.0%) are of readouts that another context has too: '
        'enough to transfer.',
        'What sets perturbations apart correlates at 0.99 between contexts (the median); a repeat in the same context '
        'would reach 0.98: one context says something about another.',
    ]
    assert inspect(random(shared=0)).verdict[-1].endswith('one context says next to nothing about another.')
    assert inspect(random('a')).verdict == [
        'There is one context, so nothing can be transferred between contexts; LPM needs several.'
    ]


def test_the_verdict_where_little_or_nothing_is_shared():
    rows = [(context, name, (1.0, 2.0)) for context, names in (('a', 'ghk'), ('b', 'kmn')) for name in names]
    little = inspect(assemble([measurements(rows, ['x', 'y'])], ['fitness'])).verdict
    assert '2 (33.3%) are of perturbations that another context has too: little to transfer.' in little[0]
    one, other = (measurements([(c, c + 'g', (1.0,))], [c + 'x'], c) for c in 'ab')
    assert inspect(assemble([one, other], ['fitness'] * 2)).verdict == [
        'Of 2 pairs of a context and one of its perturbations, 0 (0.0%) are of perturbations that another '
        'context has too: nothing to transfer.',
        'Of 2 pairs of a context and one of its readouts, 0 (0.0%) are of readouts that another context has too: '
        'nothing to transfer.',
        'No two contexts share perturbations and readouts, so it is not known how alike they are.',
    ]


def test_few_readouts_do_not_mean_that_nothing_is_shared():
    """Contexts that share all their perturbations, in one readout."""
    rows = [(context, name, (x,)) for context in 'ab' for name, x in zip('ghkl', (1.0, 2.0, 4.0, 3.0))]
    assert (
        'correlates at 1.00 between contexts' in inspect(assemble([measurements(rows, ['x'])], ['fitness'])).verdict[-1]
    )
    few = inspect(assemble([measurements([row for row in rows if row[1] in 'gh'], ['x'])], ['fitness']))
    assert few.verdict[-1] == (
        'Two contexts share no more than 2 perturbations and 1 readouts; 3 of either are needed for a correlation, '
        'so it is not known how alike they are.'
    )
    alike = [(context, name, (1.0,)) for context in 'ab' for name in 'ghkl']
    assert 'does not vary' in inspect(assemble([measurements(alike, ['x'])], ['fitness'])).verdict[-1]


def test_a_share_does_not_round_away_what_is_there():
    assert [percent(*each) for each in ((0, 9), (1, 10_000), (1, 2), (9_999, 10_000), (3, 3), (0, 0))] == [
        *('0.0%', 'less than 0.1%', '50.0%', 'more than 99.9%', '100.0%', '0.0%')
    ]
    values = [1.0, *[np.nan] * 2999]
    sparse = inspect(assemble([measurements([('a', 'g', values)], [f'r{i}' for i in range(3000)])], ['fitness']))
    assert sparse.facts['Values'] == '1; more than 99.9% are missing'
    assert 'screen: more than 99.9% of the values are missing.' in sparse.suspicions
