import pytest

from perturbjax.readers.naming.control_words import control_matcher, control_sentences, looking_like_control
from perturbjax.screens.vocabulary import parts


def test_words_and_patterns():
    is_control = control_matcher(['ctrl', 'non-targeting*', 'DMSO?', 'x[1]*'])
    assert [*map(is_control, ['ctrl', 'Ctrl', 'non-targeting', 'non-targeting_7', 'DMSO2', 'DMSO', 'x[1]a', 'x1'])] == [
        *[True, False, True, True, True, False, True, False]
    ]


LOOKING = ['Ctrl', 'CONTROL', 'negative control', 'NegCtrl0', 'non-targeting_00001', 'NT', 'NTC', 'DMSO', 'Untreated']


@pytest.mark.parametrize('name', [*LOOKING, 'CRISPRi_Ctrl', 'A+Ctrl'])
def test_names_that_look_like_control(name):
    assert looking_like_control({name: parts(name)}, ['control']).whole == [name]


@pytest.mark.parametrize(
    'name', ['STAT1', 'CTRB1', 'NT5E', 'NTRK1', 'controller', 'CTLA4', 'MOCKA', 'actrl', 'Vehicles']
)
def test_names_that_do_not(name):
    found = looking_like_control({name: parts(name)}, ['control', 'ctrl'])
    assert found.whole == found.joined == []


def told(names, words=('control',), separators=('+',)):
    return control_sentences(looking_like_control({name: parts(name) for name in names}, words), words, separators)


def test_the_setting_that_mends_is_told():
    assert told(['A', 'Ctrl', 'A+CTRL'], ('ctrl', 'control')) == [
        "2 perturbations look like control, alone or as a part: 'A+CTRL', 'Ctrl'; if they are control, set "
        "data.fields.control=('ctrl', 'control', 'CTRL', 'Ctrl')."
    ]
    assert told([f'non-targeting_{i}' for i in range(3)])[0].endswith("control=('control', 'non-targeting_*').")
    assert told(['A_control', 'B|control']) == [
        "2 perturbations have a piece that looks like control, but are read as one name: 'A_control', 'B|control'; "
        "if it is control, set data.fields.separator=('+', '_', '|')."
    ]
    assert told(['ARID1A_NegCtrl0'])[0].endswith(
        "set data.fields.separator=('+', '_') and data.fields.control=('control', 'NegCtrl*')."
    )
    assert told(['A', 'STAT1']) == []
