"""Runs compared: ranks worked by hand, which runs count, what is left out and told."""

import numpy as np
import pandas as pd
import pytest
from ledger_for_tests import EVIL, board_of, frame

from perturbjax.errors import InputError
from perturbjax.evaluation.scoreboard import column_names, compare, mean_ranks
from perturbjax.evaluation.scoreboard_table import scoreboard_table

THREE = {
    'norman': {'lpm': 0.5, 'low_rank': 0.5, 'linear': 0.1, 'mean': -0.2},
    'horn': {'lpm': 0.2, 'low_rank': 0.9, 'linear': 0.3, 'mean': 0.0},
    'korkut': {'lpm': 0.7, 'low_rank': 0.6, 'mean': 0.0},
}


def ranks(board):
    return {row.model: (row.mean_rank, row.best_rank, row.worst_rank, row.screens) for row in board.ranks.itertuples()}


def test_equal_scores_share_the_mean_of_their_ranks():
    # norman: 1.5, 1.5, 3, 4. horn: linear is second and lpm third. korkut has no linear.
    board = compare(board_of({name: THREE[name] for name in ('norman', 'horn')}))
    assert ranks(board) == {
        'low_rank': (1.25, 1, 1.5, 2),
        'lpm': (2.25, 1.5, 3, 2),
        'linear': (2.5, 2, 3, 2),
        'mean': (4, 4, 4, 2),
    }
    assert list(board.ranks['model']) == ['low_rank', 'lpm', 'linear', 'mean']
    assert not board.notes


def test_a_model_missing_somewhere_has_no_rank_and_takes_none_from_others():
    board = compare(board_of(THREE))
    # Without linear, lpm is second of three on horn: (1.5 + 2 + 1) / 3.
    assert ranks(board) == {'low_rank': (1.5, 1, 2, 3), 'lpm': (1.5, 1, 2, 3), 'mean': (3, 3, 3, 3)}
    assert board.notes == [
        'Without a rank, for want of a score on every column that counts: linear (not run on korkut).'
    ]
    assert list(board.scores['model'].unique()) == ['low_rank', 'lpm', 'mean', 'linear']


def test_chosen_models_are_compared_where_all_of_them_have_a_score():
    board = compare(board_of(THREE), models=['lpm', 'linear'])
    assert ranks(board) == {'lpm': (1.5, 1, 2, 2), 'linear': (1.5, 1, 2, 2)}
    assert board.notes == ["korkut counts in no rank: 'linear' has no score there."]


def test_chosen_screens_are_the_only_columns():
    board = compare(board_of(THREE), screens=['korkut'])
    assert ranks(board) == {'lpm': (1, 1, 1, 1), 'low_rank': (2, 2, 2, 1), 'mean': (3, 3, 3, 1)}


def test_a_screen_on_which_the_metric_is_not_calibrated_counts_in_no_rank():
    board = compare(board_of(THREE | {'papalexi': {'lpm': None, 'linear': None}}))
    assert ranks(board)['lpm'] == (1.5, 1, 2, 3)
    assert 'papalexi counts in no rank: no model has a score there (lpm: l2 is not calibrated).' in board.notes


def test_no_model_everywhere_is_told():
    board = compare(board_of({'a': {'lpm': 1.0}, 'b': {'mean': 0.0}}))
    assert board.ranks.empty
    assert board.notes[-1].startswith('No model has a score on all of them, so there are no ranks;')
    assert '| lpm   | -         | 1.00 [0.900, 1.10] | -' in scoreboard_table(board)


def test_no_score_at_all_is_told():
    board = compare(board_of({'a': {'lpm': None}}))
    assert board.ranks.empty
    assert board.scores['column'].tolist() == ['a']
    assert 'a counts in no rank' in scoreboard_table(board)


@pytest.mark.parametrize(
    ('row', 'why'),
    [
        ({'value': None}, 'not defined'),
        ({'coverage': 0.957}, 'coverage 95.7%'),
        ({'perturbations': 5}, 'only 5 perturbations'),
        ({}, 'l2 is not calibrated'),
        ({'anchor': 'perfect'}, 'l2 does not tell the anchors apart'),
    ],
)
def test_why_a_score_is_missing(row, why):
    known = frame({'model': 'mean'})
    lacks = frame({'anchored': None, **row})
    board = compare(pd.concat([known, lacks]))
    assert board.notes == [f'Without a rank, for want of a score on every column that counts: lpm ({why} on norman).']


def test_other_data_and_other_splits_stand_apart():
    rows = frame(
        {'model': 'a'},
        {'model': 'b', 'split_hash': 's2 unseen', 'contexts': 'A549'},
        {'model': 'c', 'split_hash': 's3', 'split': 'unseen_single'},
        {'model': 'd', 'data_hash': 'd2'},
        {'model': 'e', 'screen': 'horn'},
    )
    assert column_names(rows).tolist() == [
        'norman, unseen_double, K562, d1',
        'norman, unseen_double, A549',
        'norman, unseen_single',
        'norman, unseen_double, K562, d2',
        'horn',
    ]
    board = compare(rows)
    assert 'norman stands in 4 columns, for their data or held-out profiles differ.' in board.notes
    assert board.ranks.empty


def test_the_seeds_of_a_split_tell_columns_apart_by_its_hash():
    rows = frame({'split_hash': '0123456789'}, {'split_hash': 'abcdefghij'})
    assert column_names(rows).tolist() == ['norman, 01234567', 'norman, abcdefgh']


def test_long_names_stay_apart():
    long = 'LINCS_P100_PRM_Plate29_{}_annotated_minimized'
    one, other = long.format('03H'), long.format('24H')
    assert column_names(frame({'screen': one}, {'screen': other})).tolist() == [one, other]
    assert column_names(frame({'screen': one}, {'screen': 'horn'})).tolist() == [
        'LINCS_P100_PRM_Plate2…_minimized',
        'horn',
    ]


@pytest.mark.parametrize('first', ['later', 'earlier'])
def test_the_newest_run_counts_not_the_best(first):
    given = {
        'earlier': {'workdir': 'old', 'anchored': 0.9, 'evaluated': '2026-01-01 10:00 UTC'},
        'later': {'workdir': 'new', 'anchored': 0.4, 'evaluated': '2026-01-02 09:00 UTC', 'config_hash': 'c2'},
    }
    rows = frame(given.pop(first), *given.values())
    board = compare(rows)
    assert board.scores['anchored'].tolist() == [0.4]
    assert board.notes == ["norman: runs of 'lpm' differ; the newest counts (new)."]


def test_of_the_same_minute_the_one_added_last_counts():
    board = compare(frame({'workdir': 'b', 'anchored': 0.9}, {'workdir': 'a', 'anchored': 0.4}))
    assert board.scores['workdir'].tolist() == ['a']


def test_runs_that_agree_and_controls_are_no_news():
    board = compare(frame({}, {'workdir': 'again'}, {'model': 'permuted_labels', 'anchored': 0.1}))
    assert board.scores['model'].tolist() == ['lpm']
    assert not board.notes


def test_several_versions_are_told():
    board = compare(frame({}, {'model': 'mean', 'perturbjax': '0.2.0'}))
    assert board.notes == [
        'The runs are of several versions of perturbjax (0.1.0, 0.2.0); CHANGELOG.md says what moved.'
    ]


@pytest.mark.parametrize(
    ('asked', 'sentence'),
    [
        ({'metric': 'l3'}, "the ledger has no metric 'l3'; known are 'l2'"),
        ({'models': ['lpn']}, "the ledger has no model 'lpn'; did you mean 'lpm'"),
        ({'screens': ['normen']}, "the ledger has no screen 'normen'; did you mean 'norman'"),
    ],
)
def test_unknown_names_are_told(asked, sentence):
    with pytest.raises(InputError, match=sentence):
        compare(frame({}), **asked)


def test_an_empty_ledger_is_told():
    with pytest.raises(InputError, match="the ledger has no metric 'l2'; known are none"):
        compare(frame())


def test_ranks_equal_those_counted_one_by_one():
    rng = np.random.default_rng(0)
    grid = pd.DataFrame(rng.integers(0, 4, (7, 5)) / 4.0, index=list('abcdefg'))
    counted = {
        model: np.mean([1 + (grid[c] > row[c]).sum() + ((grid[c] == row[c]).sum() - 1) / 2 for c in grid])
        for model, row in grid.iterrows()
    }
    found = mean_ranks(grid).set_index('model')['mean_rank']
    assert found.to_dict() == pytest.approx(counted)
    assert found.is_monotonic_increasing
    assert found.sum() == pytest.approx(7 * 8 / 2)


def test_the_table_can_be_pasted_whatever_the_names():
    scores = {'norman': dict.fromkeys(EVIL, 0.5), 'new\nline': dict.fromkeys(EVIL, 0.25)}
    lines = scoreboard_table(compare(board_of(scores)), width=200).splitlines()
    assert lines[0].split(' | ')[-2:] == ['new line            ', 'norman               |']
    table = [line for line in lines if line.startswith('|')]
    assert len(table) == 2 + len(EVIL)
    assert {line.replace(r'\|', '').count('|') for line in table} == {5}
    assert any(line.startswith(r'| a\|b ') for line in table)
    assert '2.50      | 0.250 [0.150, 0.350] | 0.500 [0.400, 0.600]' in lines[2]


def test_a_perfect_prediction_as_the_top_is_told():
    rows = pd.concat([board_of({'norman': {'lpm': 0.5}}), board_of({'korkut': {'lpm': 0.5}}).assign(anchor='perfect')])
    assert '1 a repeat of the experiment (a perfect prediction on korkut, where' in scoreboard_table(compare(rows))
