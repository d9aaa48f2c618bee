"""The rule for perturbations of readouts, against a loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import everything, measurements, query, query_of

from perturbjax.models import context_mean, own_readout
from perturbjax.models.own_readout import shrunken_mean
from perturbjax.screens.screen import assemble
from perturbjax.screens.vocabulary import target_gene

MODEL = own_readout()
fit, predict = jax.jit(MODEL.fit), jax.jit(MODEL.predict)

NAMES = ['CRISPRi_A', 'CRISPRi_B', 'CRISPR-KO_B', 'CRISPRi_C', 'CRISPRi_D', 'Compound_x', 'CRISPRi_A+CRISPRi_B']


@pytest.fixture(scope='module')
def compendium():
    """Two screens that share a context, with other panels; D and x aim at no readout of the first one."""
    rng = np.random.default_rng(0)

    def screen(name, contexts, readouts):
        rows = [(c, perturbation, rng.normal(size=len(readouts))) for c in contexts for perturbation in NAMES]
        for _, perturbation, values in rows:
            for part in perturbation.split('+'):
                values[[readout == target_gene(part) for readout in readouts]] -= 3
        return measurements([(c, 'control', np.zeros(len(readouts))) for c in contexts] + rows, readouts, name)

    made = assemble([screen('first', 'ab', ['E', 'C', 'B', 'A']), screen('second', 'bc', ['A', 'D'])], ['log1p'] * 2)
    made.screens[0].values[2, 3] = np.nan  # CRISPRi_A in a, at its own target
    return made


def oracle(compendium, training):
    """The answers for all profiles of all screens, by (screen, row, readout), and the deviation."""
    names, table, trains = compendium.vocabulary, compendium.table(), np.concatenate(training)
    value = {
        (i, names.readouts[readout]): screen.values[row.row, column]
        for i, row in enumerate(table.itertuples())
        for screen in compendium.screens
        if screen.name == row.screen
        for column, readout in enumerate(screen.readout)
    }

    def mean(context, readout):
        chosen = trains & (table['order'] > 0) & (table['context'] == context)
        found = [value.get((i, readout), np.nan) for i in np.flatnonzero(chosen)]
        found = [each for each in found if not np.isnan(each)]
        return np.mean(found) if found else np.nan

    deviations = [
        value.get((i, target_gene(row.perturbation)), np.nan) - mean(row.context, target_gene(row.perturbation))
        for i, row in enumerate(table.itertuples())
        if trains[i] and row.order == 1
    ]
    deviations = [each for each in deviations if not np.isnan(each)]
    deviation = 0.0
    if len(deviations) > 1:
        error = np.std(deviations, ddof=1) / np.sqrt(len(deviations))
        deviation = np.mean(deviations) * max(0, 1 - (error / np.mean(deviations)) ** 2)
    answers = {
        (i, readout): mean(table['context'][i], readout)
        + deviation * (readout in {target_gene(part) for part in table['perturbation'][i].split('+')})
        for i, readout in value
    }
    return answers, deviation


def masks(compendium):
    """Everything trains; or not the combination nor one single; or one single profile alone, beside control."""
    first, second = compendium.screens
    some = tuple(~np.isin(np.arange(len(screen.context)), [3, 8, 12]) for screen in compendium.screens)
    one = np.arange(len(first.context)) == 3, np.zeros(len(second.context), bool)
    return [tuple(map(np.asarray, everything(compendium))), some, one]


def test_predictions_are_those_of_a_loop(compendium):
    rows = np.cumsum([0] + [len(screen.context) for screen in compendium.screens])
    for training, is_shifted in zip(masks(compendium), (True, True, False)):
        params = fit(compendium, training)
        answers, deviation = oracle(compendium, training)
        np.testing.assert_allclose(params.deviation, deviation, rtol=1e-5)
        assert (deviation < -1) == is_shifted
        for start, screen in zip(rows, compendium.screens):
            found = np.asarray(predict(params, query_of(screen)))
            expected = [
                [answers[start + i, compendium.vocabulary.readouts[readout]] for readout in screen.readout]
                for i in range(len(screen.context))
            ]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_two_masks_in_one_vmap_are_two_fits(compendium):
    asked, chosen = query_of(compendium.screens[0]), masks(compendium)[:2]
    every = jax.jit(jax.vmap(lambda training: MODEL.predict(MODEL.fit(compendium, training), asked)))
    for found, training in zip(every(tuple(map(jnp.stack, zip(*chosen)))), chosen):
        np.testing.assert_allclose(found, predict(fit(compendium, training), asked), rtol=1e-5, atol=1e-6)


def test_it_answers_for_everything_that_the_context_mean_answers_for(compendium):
    training = masks(compendium)[2]
    rule = context_mean()
    asked = query(compendium, [('a', 'CRISPRi_D'), ('b', 'CRISPRi_A'), ('c', 'CRISPRi_A')], list('ABCDE'))
    found = predict(fit(compendium, training), asked)
    expected = rule.predict(jax.jit(rule.fit)(compendium, training), asked)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert not np.isfinite(expected).all()
    assert np.isfinite(expected).any()


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ([-4, -2, np.nan], -3 * (1 - 1 / 9)),  # standard error 1
        ([5, -4], 0),  # mean 0.5, standard error 4.5
        ([2, -2], 0),
        ([3], 0),
        ([np.nan, np.nan], 0),
    ],
)
def test_a_mean_that_noise_can_make_is_zero(values, expected):
    values = jnp.array([*values, 100.0])
    found = shrunken_mean(values, jnp.arange(len(values)) < len(values) - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
