import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from models_for_tests import one_unit, save_model
from screens_for_tests import two_contexts

from perturbjax.analysis.whatif import draw, what_if
from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import Vocabulary

COMPENDIUM = two_contexts()  # h is not measured on y in a, and not at all in b
WIDER = Vocabulary(('a', 'b'), ('control', 'g', 'h', 'i'), ('x', 'y'))


@pytest.fixture
def folders(tmp_path):
    """Two seeds that disagree on h; the second holds out g in a."""
    first = save_model(tmp_path / 'lpm' / '1', one_unit([0, 2, -0.5]))
    return [first, save_model(tmp_path / 'lpm' / '2', one_unit([0, 2, -1.5]), held_out=[('a', 'g')])]


def test_changes_and_their_spread_by_hand(folders):
    table = what_if(folders, 'a', 'x')
    expected = {
        'context': 'a',
        'readout': 'x',
        'perturbation': ['g', 'h'],
        'change': [2.0, -1],
        'spread': [0, np.sqrt(0.5)],
        'low': [2, -1.5],
        'high': [2, -0.5],
        'models': 2,
        'measured': 'unknown',
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected), check_dtype=False)
    assert np.isnan(what_if(folders[:1], 'a', 'x')['spread']).all()


def test_what_was_measured_is_known_from_the_compendium(folders):
    def measured(context, readout):
        table = what_if(folders, context, readout, compendium=COMPENDIUM, perturbations=['g', 'h', 'h+g'])
        return dict(zip(table['perturbation'], table['measured']))

    assert measured('a', 'x') == {'g': 'in some trainings', 'h': 'in training', 'g+h': 'in training'}
    assert measured('a', 'y') == {'g': 'in some trainings', 'h': 'never', 'g+h': 'in training'}
    assert measured('b', 'x') == {'g': 'in training', 'h': 'never', 'g+h': 'never'}


def test_without_the_compendium_a_split_tells_what_it_held_out(folders):
    known = dict(what_if(folders[1:], 'a', 'x')[['perturbation', 'measured']].to_numpy())
    assert known == {'g': 'held out', 'h': 'unknown'}
    assert set(what_if(folders[1:], 'b', 'x')['measured']) == {'unknown'}
    assert what_if(folders[1:], 'a', 'x', compendium=COMPENDIUM)['measured'][0] == 'held out'


def test_both_ends_and_none_twice(tmp_path):
    names = Vocabulary(('a', 'b'), ('control', *'pqrstu'), ('x', 'y'))
    folder = save_model(tmp_path / 'lpm' / '1', one_unit([1, 3, 2, 4, 1, 0.5, 0]), vocabulary=names)
    assert list(what_if([folder], 'b', 'x', top=2)['perturbation']) == ['r', 'p', 't', 'u']
    for top in (3, 4, 0):
        assert list(what_if([folder], 'b', 'x', top=top)['perturbation']) == list('rpqstu')


def test_models_that_know_other_names_answer_where_they_can(folders, tmp_path):
    wider = save_model(tmp_path / 'lpm' / '3', one_unit([0, 1, 1, 5]), vocabulary=WIDER)
    table = what_if([*folders, wider], 'a', 'x').set_index('perturbation')
    assert dict(table['models']) == {'i': 1, 'g': 3, 'h': 3}
    assert list(what_if([*folders, wider], 'a', 'x', perturbations=['i'])['perturbation']) == ['i']


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        ({'readout': 'X'}, "readouts outside the vocabulary: 'X'"),
        ({'context': 'c'}, "contexts outside the vocabulary: 'c'"),
        ({'perturbations': ['gg', 'k']}, "perturbations outside the vocabulary: 'gg', 'k'; did you mean 'g'"),
        ({'folders': []}, 'what_if: no checkpoint is named'),
    ],
)
def test_what_cannot_be_asked_is_told(folders, asked, message):
    with pytest.raises(InputError, match=message):
        what_if(**({'folders': folders, 'context': 'a', 'readout': 'x'} | asked))


def test_nothing_predicted_is_told(tmp_path):
    folder = save_model(tmp_path / 'lpm' / '1', one_unit([0, 1, 2], counts=[1, 0, 0]))
    with pytest.raises(InputError, match="no model predicts 'x' in 'a'"):
        what_if([folder], 'a', 'x')


def test_the_drawing_says_all_and_needs_no_screen(folders, tmp_path):
    table = what_if(folders, 'a', 'x', compendium=COMPENDIUM)
    axes = draw(table)
    assert axes.get_xlabel() == 'predicted change of x in a\n(filled: was in training)'
    assert [label.get_text() for label in axes.get_yticklabels()] == ['g', 'h']
    assert axes.get_yticks()[0] > axes.get_yticks()[1]
    dots = axes.collections[-1]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], [2, -1])
    axes.figure.savefig(tmp_path / 'whatif.png')
    mine = Figure().add_subplot()
    assert draw(what_if(folders[1:], 'a', 'x'), mine) is mine
    mine.figure.savefig(tmp_path / 'one.svg')
