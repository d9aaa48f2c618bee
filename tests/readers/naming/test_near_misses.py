import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.readers.naming.near_misses import (
    context_sentences,
    perturbation_sentences,
    tell_across,
    tell_contexts,
    tell_marks,
)


def told(*names):
    return perturbation_sentences(names, ('control',), ('+',))


def test_perturbations_that_look_alike_are_named():
    assert told('Compound_Torin 2', 'Compound_torin2+x') == [
        "2 perturbations look like another but are kept apart: 'Compound_Torin 2', 'Compound_torin2'; set "
        'data.fields.merge_alike=True if each group is one, or rename them in the file.'
    ]


def test_names_look_alike_whatever_their_doses():
    assert 'alike' not in ''.join(told('x-1uM', 'x-10uM'))
    assert "look like another but are kept apart: 'Compound_Torin 2', 'Compound_torin2'; " in told(
        'Compound_Torin 2-1uM', 'Compound_torin2-10uM'
    )[0]  # fmt: skip
    assert len(told('DMSO-1uM', 'dmso-1uM')) == 1  # they look like control, which is told


def test_a_dose_of_zero_without_a_unit_is_told():
    assert told('x-0', 'x-0.1', 'x-10', 'y-5') == [
        "1 perturbations may have dose 0: 'x-0'; if so, name them in data.fields.control."
    ]
    assert told('guide_0', 'guide_1', 'guide_2', 'NKX2-1', 'y-0') == []  # numbers that count, and one alone


def test_a_part_with_itself_is_told():
    assert told('A+A', 'A+B') == [
        "1 combinations have a part twice: 'A+A'; they stay combinations, and their additive prediction is that of "
        'the part twice.'
    ]


def test_contexts_that_look_alike_are_named(caplog):
    assert context_sentences(['K562', 'k562', 'RPE1']) == [
        "2 contexts look like another but are kept apart: 'K562', 'k562'; set data.fields.merge_alike=True if each "
        'group is one, or rename them in the file.'
    ]
    tell_contexts(np.array(['nan', 'K562'], object), lambda name: name == 'nan', 'f')
    assert "f: 1 contexts are named 'nan'; if that stands for no value, leave those rows out" in caplog.text


def test_names_that_are_alike_in_two_screens(caplog):
    one, other = (
        [(context, name, (0,)) for name in ('control', gene)] for context, gene in (('K562', 'g'), ('k562', 'G'))
    )
    tell_across([measurements(one, ['x']), measurements(other, ['x'])])
    assert "data: 2 contexts look like another but are kept apart: 'K562', 'k562'" in caplog.text
    assert "data: 2 perturbations look like another but are kept apart: 'G', 'g'" in caplog.text
    assert 'set fields.merge_alike=True for all of these files if each group is one' in caplog.text
    caplog.clear()
    tell_across([measurements(one + other, ['x'])])  # which its file has told
    assert not caplog.text


@pytest.mark.parametrize(('mark', 'is_told'), [('CTL', True), ('ctl', False), ('trt', False)])
def test_marks_that_are_nearly_control(caplog, mark, is_told):
    tell_marks(np.array([mark], object), ('ctl', 'control'), 'f')
    assert ("f: data.fields.control_column: 'CTL' look like control but mark no row" in caplog.text) == is_told
