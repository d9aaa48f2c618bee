"""Every suspicion on a screen that deserves it, and none on screens that do not."""

import dataclasses

import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.quality.warnings import suspicions, urgent
from perturbjax.readers.loading import load
from perturbjax.screens.screen import assemble

NAN = np.nan
READOUTS = [f'r{i}' for i in range(40)]


def profiles(seed=0, context='a', low=0.5):
    """Control and nine perturbations by 40 readouts, and nothing odd about them."""
    values = np.random.default_rng(seed).uniform(low, 3, (10, 40))
    return [(context, name, row) for name, row in zip(['control', *'ghijklmno'], values)]


def screen(rows, name='screen', readouts=READOUTS, cells=12):
    return dataclasses.replace(
        measurements(rows, readouts, name), cells=np.broadcast_to(np.int32(cells), len(rows)).copy()
    )


def found(*screens, scale='log1p'):
    return suspicions(assemble(list(screens), [scale] * len(screens)))


def test_nothing_is_odd_about_what_is_sound():
    assert found(screen(profiles() + profiles(1, 'b'))) == []


def test_simulated_screens_are_sound():
    assert suspicions(load({'source': 'simulation', 'contexts': 3, 'cells': 60, 'readouts': 60})) == []


def change(row=None, column=None, value=0.0, **settings):
    rows = profiles(**settings)
    for _, name, values in rows:
        if row in (None, name):
            values[slice(None) if column is None else column] = value
    return screen(rows)


@pytest.mark.parametrize(
    ('odd', 'scale', 'sentence'),
    [
        (change(column=3, value=NAN), 'log1p', "screen: 1 of 40 readouts have no value at all: 'r3'."),
        (change(row='h', value=NAN), 'log1p', "screen: 1 of 10 profiles have no value at all: 'h in a'."),
        (change(column=slice(0, 30), value=NAN), 'log1p', 'screen: 75.0% of the values are missing.'),
        (change(column=5, value=1.5), 'log1p', "screen: 1 of 40 readouts have the same value in all profiles: 'r5'."),
        (change(row='g'), 'log1p', "screen: 1 of 10 profiles are perturbed, but all their values are 0: 'g in a'."),
        (
            change(row='g', column=0, value=-0.5),
            'log1p',
            'screen: 1 of 400 values are outside 0 to 13.8, the usual range of the scale log1p; '
            'they reach from -0.5 to 2.99.',
        ),
        (
            change(row='g', column=0, value=50),
            'log1p',
            'screen: 1 of 400 values are outside 0 to 13.8, the usual range of the scale log1p; '
            'they reach from 0.501 to 50. Are these raw counts, which need data.counts=True?',
        ),
        (
            change(),
            'z-score',
            'screen: no value is below 0, which is rare on the scale z-score; are these levels?',
        ),
        (
            change(column=slice(0, 40, 10), value=-13.2877),
            'log2-ratio',
            'screen: 40 of 400 values are -13.2877, the lowest; if it means "not measured", set data.missing_values.',
        ),
        (
            screen(profiles(low=-3)),
            'z-score',
            'screen: on the scale z-score control is 0, but its profiles are 1.82 from 0 (root mean square) and '
            'perturbed ones 1.74; is the scale right?',
        ),
        (
            screen(profiles(low=-3)[1:]),
            'z-score',
            "screen: 1 of 1 contexts have no control, so 0 is taken for it: 'a'.",
        ),
        (
            screen(profiles(), cells=1),
            'log1p',
            'screen: every profile is a single row, so it cannot be known how well a repeat would do.',
        ),
        (
            screen(profiles(), cells=[2] + [12] * 9),
            'log1p',
            'screen: 1 control profiles are of far fewer rows than the usual 12, and every change is a difference from '
            "them: 'control in a'.",
        ),
        (
            screen(profiles(), cells=[100] * 8 + [4, 5]),
            'log1p',
            "screen: 2 of 10 profiles are of fewer than 10 rows: 'n in a', 'o in a'.",
        ),
        (
            screen(profiles(), cells=[12] * 9 + [500]),
            'log1p',
            'screen: o alone has 84% of all perturbed rows.',
        ),
    ],
)
def test_what_is_odd_about_a_screen(odd, scale, sentence):
    assert sentence in found(odd, scale=scale)


def test_contexts_that_share_nothing():
    rows = [('b', name if name == 'control' else f'{name}2', values) for _, name, values in profiles(1)]
    one, other = screen(profiles(), 'one'), screen(rows, 'two', [f's{i}' for i in range(40)])
    assert found(one, other) == [
        "2 of 2 contexts share no perturbations with any other: 'a', 'b'.",
        "2 of 2 contexts share no readouts with any other: 'a', 'b'.",
    ]


def test_names_that_nearly_agree():
    doses = {'g': 'Compound_x-10uM', 'h': 'Compound_x-10uM+y-0.5 nM'}
    first = [(context, doses.get(name, name), values) for context, name, values in profiles()]
    doses = {'g': 'Compound_X-1uM', 'h': 'Compound_x-3uM+y-1 nM'}
    second = [(context, doses.get(name, name), values) for context, name, values in profiles(1, 'b')]
    assert found(screen(first + second)) == [
        "2 perturbations look like another but are kept apart: 'Compound_X', 'Compound_x'; set "
        'data.fields.merge_alike=True if each group is one, or rename them in the file.',
        '4 of 11 perturbations are in one context alone, but elsewhere with another dose or other capitals: '
        "'Compound_x-10uM' in a, 'Compound_X-1uM' in b.",
    ]


def test_readouts_named_in_another_way():
    ids = [f'ENSG000001154{i:02}.{i % 3}' for i in range(40)]
    capitals = [*READOUTS[:39], 'R39']
    assert found(screen(profiles(), 'one'), screen(profiles(1, 'b'), 'two', capitals)) == [
        '1 of 41 readouts differ from another only in capitals or version of an id; see data.harmonise.'
    ]
    assert found(screen(profiles(), 'one'), screen(profiles(1, 'b'), 'two', ids))[-1] == (
        "readouts are Ensembl ids in 'two', and not so in the others; see data.harmonise."
    )


def test_control_that_is_not_zero_is_told_on_every_run():
    """An inhibition of about 99 in control is a viability."""
    rows = [('a', 'control', [99.0] * 40), ('a', 'g', [50.0] * 40)]
    sentence = 'screen: on the scale inhibition control is 0, but its profiles are 99 from 0 (root mean square) and '
    assert urgent(assemble([screen(rows)], ['inhibition'])) == [sentence + 'perturbed ones 50; is the scale right?']
    assert urgent(assemble([screen(rows)], ['viability'])) == []


def test_names_that_are_nearly_control_are_told_of_stored_data_too():
    rows = [*profiles(), ('a', 'CRISPRi_Ctrl', profiles(2)[0][2])]
    assert found(screen(rows)) == [
        "1 perturbations look like control, alone or as a part: 'CRISPRi_Ctrl'; if they are control, set "
        "data.fields.control=('control', 'Ctrl')."
    ]
