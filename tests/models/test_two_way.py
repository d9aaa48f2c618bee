"""The ridge rule against numpy: its effects, and its leave-out error by fitting again without the rows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import measurements, query_of

from perturbjax.errors import InputError
from perturbjax.models import Query, additive, two_way
from perturbjax.models.held_out_like import held_out_like
from perturbjax.models.leave_out import leave_out_error, left_out_in_turn
from perturbjax.models.two_way import _regressions as two_way_regressions
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split

COMBINATIONS = 'g0+g1', 'g1+g2', 'g2+g3'
PENALTIES = (0.5, 2.0, 3.0, 1.0, 2.5)


@pytest.fixture(scope='module')
def compendium():
    """Two screens that share one context and two of their five readouts, with pairs and a missing value."""
    rng = np.random.default_rng(0)
    names = ['g0', 'g1', 'g2', 'g3', *COMBINATIONS]
    effect = {(c, g): rng.normal(size=5) for c in 'abc' for g in names[:4]}

    def screen(name, contexts, readouts):
        rows = [(c, 'control', np.ones(len(readouts))) for c in contexts]
        for c in contexts:
            for perturbation in names:
                total = sum(effect[c, part] for part in perturbation.split('+')) + 0.1 * rng.normal(size=5)
                rows.append((c, perturbation, 1 + total[readouts]))
        return measurements(rows, [f'r{i}' for i in readouts], name)

    made = assemble([screen('first', 'ab', [0, 1, 2]), screen('second', 'bc', [1, 2, 3, 4])], ['log1p'] * 2)
    made.screens[0].values[3, 1] = np.nan
    return made


@pytest.fixture(scope='module', params=['unseen_in_context', 'unseen_double'])
def split(request, compendium):
    settings = {'context': 'b', 'test': 0.3, 'validation': 0.0} if request.param == 'unseen_in_context' else {}
    return make_split(compendium, request.param, 1, **settings)


def by_name(compendium, split):
    """Each perturbed profile as (screen, context, perturbation, order, is training, change by readout)."""
    rows, training = [], np.concatenate(split.mask(TRAIN))
    table = compendium.table()
    for number, row in enumerate(table.itertuples()):
        screen = next(each for each in compendium.screens if each.name == row.screen)
        if row.order:
            change = dict(zip(screen.readout.tolist(), screen.values[row.row] - 1))
            known = {readout: value for readout, value in change.items() if not np.isnan(value)}
            rows.append((row.context, row.perturbation, row.order, bool(training[number]), known))
    return rows


def indicators(compendium, context, perturbation):
    names, parts = compendium.vocabulary, perturbation.split('+')
    here = [each == context for each in names.contexts]
    whole = [each == perturbation for each in COMBINATIONS]
    return np.array([1, *here, len(parts) > 1, *(each in parts for each in names.perturbations), *whole], float)


def ridge(compendium, rows, readout):
    """The effects of one readout from rows of `by_name`."""
    names = compendium.vocabulary
    sizes = 1, len(names.contexts), 1, len(names.perturbations), len(COMBINATIONS)
    x = np.array([indicators(compendium, c, p) for c, p, _, _, known in rows if readout in known])
    y = np.array([known[readout] for *_, known in rows if readout in known])
    return np.linalg.solve(x.T @ x + np.diag(np.repeat(PENALTIES, sizes)), x.T @ y)


def test_predictions_are_those_of_ridge_regressions_in_numpy(compendium, split):
    model, rows = two_way(PENALTIES), by_name(compendium, split)
    params = jax.jit(model.fit)(compendium, split.mask(TRAIN))
    training = [row for row in rows if row[3]]
    effects = [ridge(compendium, training, readout) for readout in range(len(compendium.vocabulary.readouts))]
    for screen in compendium.screens:
        answer = np.asarray(model.predict(params, query_of(screen)))
        names = compendium.vocabulary.perturbation_names(screen.perturbation)
        for i, perturbation in enumerate(names):
            context = compendium.vocabulary.contexts[screen.context[i]]
            x = indicators(compendium, context, perturbation)
            for j, readout in enumerate(screen.readout):
                expected = 1 + x @ effects[readout] if perturbation != 'control' else 1.0
                if '+' in perturbation and params.left_over.error < params.whole.error:
                    continue  # the other form is tested below
                np.testing.assert_allclose(answer[i, j], expected, atol=2e-5)


def test_the_leave_out_error_is_that_of_fitting_again_without_the_rows(compendium, split):
    rows, training = by_name(compendium, split), split.mask(TRAIN)
    held_out = [row for row in rows if not row[3]]
    contexts, pairs = {row[0] for row in held_out}, {row[2] > 1 for row in held_out}
    errors = []
    for row in rows:
        if not (row[3] and row[0] in contexts and (row[2] > 1) in pairs):
            continue
        others = [each for each in rows if each[3] and not (each[1] == row[1] and each[0] in contexts)]
        x = indicators(compendium, row[0], row[1])
        errors.append(np.sqrt(sum((x @ ridge(compendium, others, r) - value) ** 2 for r, value in row[4].items())))
    _, known, regression, _ = two_way_regressions(compendium, training)
    left_out = left_out_in_turn(held_out_like(compendium, training), num_slots=4)
    sizes = 1, len(compendium.vocabulary.contexts), 1, len(compendium.vocabulary.perturbations), len(known)
    penalty = np.repeat(PENALTIES, sizes).astype(np.float32)
    assert int(left_out.counts.sum()) == len(errors) > 2
    found = leave_out_error(regression, left_out, jnp.asarray(penalty))
    np.testing.assert_allclose(found, np.mean(errors), rtol=2e-4)


def test_what_the_additive_model_leaves_over_is_shrunken_too():
    """All pairs miss the additive model by about 5: the form that starts from it wins, and finds the 5."""
    rng, genes = np.random.default_rng(1), [f'g{i}' for i in range(7)]
    single = {gene: 3 * rng.normal(size=4) for gene in genes}
    rows = [('a', 'control', np.zeros(4)), *(('a', gene, effect) for gene, effect in single.items())]
    pairs = list(itertools.combinations(genes, 2))
    rows += [('a', f'{p}+{q}', single[p] + single[q] + 5 + 0.1 * rng.normal(size=4)) for p, q in pairs]
    compendium = assemble([measurements(rows, list('wxyz'))], ['log1p'])
    split, model = make_split(compendium, 'unseen_double', 1), two_way()
    params = jax.jit(model.fit)(compendium, split.mask(TRAIN))
    assert params.left_over.error < params.whole.error
    (screen,), (training,) = compendium.screens, split.mask(TRAIN)
    error = np.asarray(model.predict(params, query_of(screen))) - screen.values
    assert np.abs(error[~training]).max() < 1
    with_additive = np.asarray(additive().predict(params.deltas, query_of(screen))) - screen.values
    assert np.abs(with_additive[~training]).min() > 4


def whole_matters(effect):
    """Ten genes and their pairs in six contexts; each pair has an effect of its own, the same in all of them."""
    rng, genes = np.random.default_rng(2), [f'g{i}' for i in range(10)]
    names = [*genes, *map('+'.join, itertools.combinations(genes, 2))]
    own = {name: effect * rng.normal(size=3) if '+' in name else np.zeros(3) for name in names}
    single = {gene: rng.normal(size=3) for gene in genes}
    rows = [(c, 'control', np.zeros(3)) for c in 'abcdef']
    for c, name in itertools.product('abcdef', names):
        rows.append((c, name, own[name] + sum(single[g] for g in name.split('+')) + 0.1 * rng.normal(size=3)))
    compendium = assemble([measurements(rows, list('xyz'))], ['log1p'])
    return compendium, make_split(compendium, 'unseen_in_context', 1, context='b', test=0.4)


def test_a_pair_has_an_effect_of_its_own_where_the_folds_find_one():
    """A pair that is known in five contexts is known in the sixth; where pairs are sums of their parts, nothing is."""
    errors = {}
    for effect in (2.0, 0.0):
        compendium, split = whole_matters(effect)
        (screen,), (training,) = compendium.screens, split.mask(TRAIN)
        is_asked = ~training & (screen.perturbation > 0).all(axis=1)
        assert is_asked.sum() > 5
        for penalties in ((), (0.01, 100.0, 1.0, 0.01)):
            params = jax.jit(two_way(penalties).fit)(compendium, split.mask(TRAIN))
            error = np.asarray(two_way().predict(params, query_of(screen))) - screen.values
            errors[effect, bool(penalties)] = np.sqrt((error[is_asked] ** 2).mean())
            if penalties:
                assert np.isinf(params.whole.penalties[4])
    assert errors[2.0, False] < 0.2 < 1 < errors[2.0, True]
    assert errors[0.0, False] < 1.2 * errors[0.0, True]


def test_one_context_has_no_effects_of_whole_combinations():
    compendium = assemble(
        [measurements([('a', name, np.ones(2)) for name in ('control', 'g0', 'g1', 'g0+g1')], list('xy'))], ['log1p']
    )
    params = two_way().fit(compendium, (np.ones(4, bool),))
    assert params.known is None
    assert len(params.whole.effects) == 1 + 1 + 1 + 3


def test_an_unseen_name_has_no_effect_of_its_own_and_an_unknown_control_no_answer(compendium):
    training = tuple(np.ones(len(screen.context), bool) for screen in compendium.screens)
    for mask, screen in zip(training, compendium.screens, strict=True):
        mask[screen.context == 2] = False
        mask[(screen.perturbation == 4).any(axis=1)] = False
    params = jax.jit(two_way(PENALTIES).fit)(compendium, training)
    query = Query(np.array([0, 1, 2]), np.array([[4, -1], [4, -1], [1, -1]]), np.arange(5))
    answer = two_way(PENALTIES).predict(params, query)
    np.testing.assert_array_equal(np.isfinite(answer[:2]), [[True, True, True, False, False], [True] * 5])
    assert np.isnan(answer[2]).all()
    np.testing.assert_allclose(params.whole.effects[2 + 3 + 4], 0, atol=1e-7)


def test_bad_settings_are_told():
    with pytest.raises(InputError, match='penalties: 0.0 must be above 0'):
        two_way(penalties=(1.0, 0.0, 1.0, 1.0))
    with pytest.raises(InputError, match='must be 4 or 5 numbers: perturbed, context, combination, part, whole'):
        two_way(penalties=(1.0, 1.0))
    with pytest.raises(InputError, match='tuning_readouts: 0 must be at least 1'):
        two_way(tuning_readouts=0)
