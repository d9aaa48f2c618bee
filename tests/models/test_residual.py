"""LPM on what a rule leaves over: what it learns from, how much of it is kept, and the promises of training."""

import dataclasses

import jax
import numpy as np
import pytest
from models_for_tests import train_lpm
from screens_for_tests import measurements, query_of

from perturbjax.analysis.completion import read_model
from perturbjax.errors import InputError
from perturbjax.interop.perturblib import export_perturblib
from perturbjax.models import context_mean, make_models
from perturbjax.models.amplitude import Products, amplitude, left_over
from perturbjax.models.lpm import lpm
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

SETTINGS = {'embedding_dim': 4, 'hidden_dims': (16,), 'base': 'context_mean', 'folds': 3, 'mix': ()}
MODEL = lpm(**SETTINGS)
SHORT = {'epochs': 3, 'epoch_steps': 5, 'batch_profiles': 24, 'shards': 4, 'checkpoint_every': 1}


@pytest.fixture(scope='module')
def compendium():
    """Four contexts that shift 24 perturbations by a little; their effects are large and shared."""
    rng = np.random.default_rng(0)
    effects, level = 2 * rng.normal(size=(24, 6)), rng.normal(size=(4, 6))
    rows = [(c, 'control', level[i]) for i, c in enumerate('abcd')]
    rows += [
        (c, f'g{p:02}', level[i] + effects[p] + 0.2 * rng.normal(size=6))
        for i, c in enumerate('abcd')
        for p in range(24)
    ]
    made = assemble([measurements(rows, [f'r{i}' for i in range(6)])], ['log1p'])
    made.screens[0].values[9, 2] = np.nan
    return made


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_in_context', 0, context='b', test=0.3, validation=0.0)


def trained(compendium, split, folder, **given):
    return train_lpm(SETTINGS, SHORT | given, compendium, split, folder)


@pytest.fixture(scope='module')
def whole(compendium, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return trained(compendium, split, folder), folder


def errors(model, params, compendium, split):
    (screen,), (tested,) = compendium.screens, split.mask(TEST)
    predicted = np.asarray(model.predict(params, query_of(screen)))
    return np.abs(predicted - screen.values)[tested]


@pytest.mark.parametrize('standardise', ['together', 'each', 'none'])
def test_residuals_are_out_of_fold_and_in_units_of_their_spread(compendium, split, standardise):
    target = lpm(**SETTINGS, standardise=standardise).learner.target(compendium, split.mask(TRAIN))
    (screen,), (training,), (residual,) = compendium.screens, split.mask(TRAIN), target.compendium.screens
    here = training & (screen.context == 1) & (screen.order > 0)
    others = training & (screen.context != 1) & (screen.order > 0)
    folds = target.left_out[0]
    assert set(folds[here]) == {1, 2, 4}
    assert (folds[~here] == 0).all()
    scale = target.kept[1].scale
    for row in np.flatnonzero(here):
        seen = here & (folds != folds[row])
        expected = (screen.values[row] - np.nanmean(screen.values[seen], axis=0)) / scale
        np.testing.assert_allclose(residual.values[row], expected, rtol=1e-4, atol=1e-5)
    own = np.sqrt(np.nanmean(residual.values[here] ** 2, axis=0))
    np.testing.assert_allclose(own * scale, target.kept[1].own_scale, rtol=1e-5)
    if standardise == 'each':
        np.testing.assert_allclose(own, 1, rtol=1e-5)
    elif standardise == 'together':
        assert len(set(scale)) == 1
        np.testing.assert_allclose(np.sqrt(np.nanmean(residual.values[here] ** 2)), 1, rtol=1e-5)
    else:
        assert set(scale) == {1}
    for context in set(screen.context[others]):
        rows = others & (screen.context == context)
        np.testing.assert_allclose(np.nanmean(residual.values[rows], axis=0), 0, atol=1e-5)


def test_screens_with_other_panels_are_learnt_together():
    rng = np.random.default_rng(0)

    def screen(name, contexts, readouts):
        rows = [(c, p, rng.normal(size=len(readouts))) for c in contexts for p in ['control', 'g', 'h', 'i', 'j']]
        return measurements(rows, readouts, name)

    both = assemble([screen('first', 'ab', ['x', 'y', 'z']), screen('second', 'bc', ['z', 'v'])], ['log1p'] * 2)
    split = make_split(both, 'unseen_in_context', 0, context='b', test=0.3, validation=0.0)
    target = MODEL.learner.target(both, split.mask(TRAIN))
    for screen, residual, left_out in zip(both.screens, target.compendium.screens, target.left_out, strict=True):
        assert residual.values.shape == screen.values.shape
        assert np.isfinite(residual.values[screen.order > 0]).all()
        assert set(left_out[(screen.context == 1) & (screen.order > 0)]) > {0}
        assert (left_out[screen.context != 1] == 0).all()


def test_a_unit_is_shared_within_a_screen_and_over_screens_that_share_a_readout():
    """Of two screens the second has values 1,000 times as large; both have z."""
    rng = np.random.default_rng(0)

    def screen(name, contexts, readouts, size):
        rows = [
            (c, p, size * rng.normal(size=len(readouts))) for c in contexts for p in ['control', 'g', 'h', 'i', 'j']
        ]
        return measurements(rows, readouts, name)

    screens = [screen('first', 'a', ['x', 'y', 'z'], 1), screen('second', 'a', ['z', 'v', 'w'], 1000)]
    both = assemble(screens, ['log1p'] * 2)
    split = make_split(both, 'unseen_single', 0, test=0.25)
    prepared = MODEL.learner.target(both, split.mask(TRAIN)).kept[1]
    values = prepared.residual * prepared.scale
    sizes = [len(each.context) for each in both.screens]
    rows = prepared.folds.number >= 0
    squares = [values[: sizes[0]][rows[: sizes[0]]], values[sizes[0] :][rows[sizes[0] :]]]
    first, second, every = (
        np.sqrt(np.nanmean(np.concatenate(each) ** 2))
        for each in ([squares[0].ravel()], [squares[1].ravel()], [squares[0].ravel(), squares[1].ravel()])
    )
    scale = dict(zip(both.vocabulary.readouts, prepared.scale))
    for names, expected in (('xy', first), ('vw', second), ('z', every)):
        for name in names:
            np.testing.assert_allclose(scale[name], expected, rtol=1e-5)


def test_what_contexts_share_is_learnt(compendium, split, tmp_path):
    """context_mean knows nothing of a perturbation; other contexts tell nearly everything."""
    params = trained(compendium, split, tmp_path, epochs=8, epoch_steps=50)
    rule = context_mean()
    base = errors(rule, rule.fit(compendium, split.mask(TRAIN)), compendium, split).mean()
    assert errors(MODEL, params, compendium, split).mean() < 0.5 * base
    assert float(params.constants['amplitude']) > 0.8
    inside = (
        errors(MODEL, params, compendium, split)
        < 1.645 * np.asarray(MODEL.spread(params, query_of(compendium.screens[0])))[split.mask(TEST)[0]]
    )
    assert 0.7 < inside.mean() <= 1


def test_noise_is_not_learnt(compendium, split, tmp_path):
    """With values that are noise alone hardly anything of the networks' prediction is kept."""
    (screen,) = compendium.screens
    noise = np.random.default_rng(1).normal(size=screen.values.shape).astype(np.float32)
    noisy = dataclasses.replace(compendium, screens=(dataclasses.replace(screen, values=noise),))
    params = trained(noisy, split, tmp_path, epochs=8, epoch_steps=50)
    assert float(params.constants['amplitude']) < 0.4
    rule = context_mean()
    base = errors(rule, rule.fit(noisy, split.mask(TRAIN)), noisy, split).mean()
    assert errors(MODEL, params, noisy, split).mean() < 1.03 * base


@pytest.mark.parametrize(('factor', 'shift'), [(1e-6, 0.0), (1e4, 0.0), (1.0, 1e4)])
def test_the_scale_of_the_values_does_not_matter(compendium, split, whole, tmp_path, factor, shift):
    (screen,) = compendium.screens
    other = dataclasses.replace(screen, values=(screen.values * factor + shift).astype(np.float32))
    rescaled = dataclasses.replace(compendium, screens=(other,))
    params = trained(rescaled, split, tmp_path)
    expected = np.asarray(MODEL.predict(whole[0], query_of(screen)))
    found = (np.asarray(MODEL.predict(params, query_of(other)), float) - shift) / factor
    np.testing.assert_allclose(found, expected, atol=2e-2 if shift else 1e-3)


def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, whole, tmp_path):
    trained(compendium, split, tmp_path, epochs=1)
    jax.tree.map(np.testing.assert_array_equal, trained(compendium, split, tmp_path), whole[0])


def test_what_is_finished_is_not_prepared_again(compendium, split, whole, monkeypatch):
    def refuse(*_):
        raise AssertionError('trained again')

    monkeypatch.setattr('perturbjax.training.fit.train', refuse)
    jax.tree.map(np.testing.assert_array_equal, trained(compendium, split, whole[1]), whole[0])
    with pytest.raises(AssertionError, match='trained again'):
        trained(compendium, split, whole[1], epochs=4)


def test_one_device_trains_what_four_do(compendium, split, whole, tmp_path, monkeypatch):
    assert len(jax.devices()) == 4
    first = jax.local_devices()[:1]
    monkeypatch.setattr(jax, 'devices', lambda: first)
    one = trained(compendium, split, tmp_path)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), one, whole[0])


def test_members_leave_their_fold_out(compendium, split, whole):
    """Of 3 folds x 2 seeds, two members with one seed differ only by what they have not seen."""
    assert MODEL.num_members(whole[0]) == 6
    table = whole[0].weights['perturbation']
    assert all(np.abs(table[0] - table[i]).max() > 0 for i in (1, 2, 4))


def test_a_checkpoint_alone_predicts_and_perturblib_refuses_it(compendium, whole):
    params, folder = whole
    model = read_model(folder / 'lpm' / '0')
    query = query_of(compendium.screens[0])
    expected = np.asarray(MODEL.predict(params, query))
    np.testing.assert_allclose(model.predict(jax.device_get(query)), expected, rtol=1e-5)
    with pytest.raises(InputError, match='holds an LPM on what a rule leaves over'):
        export_perturblib(folder / 'lpm' / '0', str(folder / 'model.pt'))


def test_an_unseen_perturbation_gets_the_rule(compendium, tmp_path):
    split = make_split(compendium, 'unseen_single', 0, test=0.3)
    params, rule = trained(compendium, split, tmp_path, epochs=1), context_mean()
    base = rule.fit(compendium, split.mask(TRAIN))
    query, tested = query_of(compendium.screens[0]), split.mask(TEST)[0]
    predicted, expected = (
        np.asarray(each)[tested] for each in (MODEL.predict(params, query), rule.predict(base, query))
    )
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)


def test_the_amplitude_is_the_least_squares_factor_of_the_mean_of_all_members():
    """Predictions of many members: truth t times 2, and noise of their own, of which a mean of n keeps 1 / n."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 50))
    members = 2 * truth + 3 * rng.normal(size=(10, 200, 50))
    pair = members[:2]
    products = Products(
        np.full(200, 50.0),
        (truth**2).sum(axis=1),
        (truth * pair.mean(axis=0)).sum(axis=1),
        (pair**2).mean(axis=0).sum(axis=1),
        (pair[0] * pair[1]).sum(axis=1),
    )
    mean = members.mean(axis=0)
    found = amplitude(products, 10)
    assert found == pytest.approx((truth * mean).sum() / (mean**2).sum(), rel=0.05)
    error = ((truth - found * mean) ** 2).mean()
    assert left_over(products, found, 10) == pytest.approx(max(error - found**2 * 9, 0), abs=0.02)
    nothing = Products(*np.zeros((5, 0)))
    assert (amplitude(nothing, 10), left_over(nothing, 0.0, 10)) == (0.0, 1.0)
    against = products._replace(cross=-products.cross)
    assert amplitude(against, 10) == 0.0


@pytest.mark.parametrize(
    ('settings', 'told'),
    [
        ({'base': 'lmp'}, "models.mine.base: no such 'lmp'"),
        ({'folds': 1}, 'models.mine.folds: 1 must be 0 or from 2 to 30'),
        ({'folds': 0}, 'models.mine.shrink: it is chosen by folds'),
        ({'folds': 0, 'shrink': False}, 'models.mine.mix: its weights are chosen by folds'),
        ({'mix': ('two_wya',)}, "models.mine.mix: no such rule 'two_wya'; did you mean 'two_way'"),
        ({'head': 'mpl'}, "models.mine.head: no such 'mpl'; did you mean 'mlp'"),
    ],
)
def test_bad_settings_are_told(settings, told):
    with pytest.raises(InputError, match=told):
        make_models({'mine': {'model': 'lpm', **settings}})
