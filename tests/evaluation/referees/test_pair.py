"""What may be compared, and what is refused with one sentence."""

import numpy as np
import pytest
from referees_for_tests import as_cells

from perturbjax.errors import InputError
from perturbjax.evaluation.referees.pair import CONTROL, make_pair

LABELS = ['B', CONTROL, 'A', 'A']
VALUES = np.arange(12).reshape(4, 3)


def test_readouts_may_be_in_another_order_and_either_form():
    truth = as_cells(VALUES, LABELS, ['x', 'y', 'z'])
    prediction = as_cells(VALUES[[2, 0, 1]][:, [2, 0, 1]], ['A', 'B', CONTROL], ['z', 'x', 'y'], sparse=False)
    pair = make_pair(truth, prediction)
    assert (pair.perturbations, pair.readouts) == (('A', 'B'), ('x', 'y', 'z'))
    np.testing.assert_array_equal(pair.truth.of(0), VALUES[[2, 3]])
    np.testing.assert_array_equal(pair.truth.of(2), VALUES[[1]])
    np.testing.assert_array_equal(pair.prediction.of(1), VALUES[[0]])
    assert len(pair.prediction.group) == 2  # predicted control is not looked at


def test_columns_and_control_may_be_called_otherwise():
    truth, prediction = (as_cells(VALUES, ['B', 'ctrl', 'A', 'A']) for _ in range(2))
    for data in (truth, prediction):
        data.obs = data.obs.rename(columns={'target': 'gene'})
    assert make_pair(truth, prediction, target='gene', control='ctrl').perturbations == ('A', 'B')
    with pytest.raises(InputError, match=r"^truth: obs has no column 'target' or 'target_gene' .* it has 'gene'"):
        make_pair(truth, prediction)
    with pytest.raises(InputError, match=r"control, which is called 'non-targeting'.* there are 'A', 'B', 'ctrl'"):
        make_pair(truth, prediction, target='gene')


def changed(**parts):
    data = as_cells(VALUES, LABELS)
    for name, value in parts.items():
        setattr(data, name, value)
    return data


GOOD = changed()
CASES = [
    (
        GOOD,
        changed(var_names=['G0', 'G1', 'other']),
        r"^prediction: .* readouts .* missing: 'G2'; not in the truth: 'other'",
    ),
    (changed(var_names=['G0', 'G1', 'G1']), GOOD, r"^truth: the readout 'G1' is there more than once"),
    (GOOD, changed(var_names=['G0', 'G0', 'G0']), r"^prediction: the readout 'G0' is there more than once"),
    (as_cells(VALUES, list('BAAA')), GOOD, r"^truth: no cell is of control, which is called 'non-targeting'"),
    (GOOD, as_cells(VALUES, ['B', CONTROL, 'C', 'C']), r"perturbations .* missing: 'A'; not in the truth: 'C'"),
    (as_cells(VALUES, [CONTROL] * 4), as_cells(VALUES, [CONTROL] * 4), '^truth: there are no perturbed cells'),
    (as_cells(VALUES, ['B', CONTROL, None, 'A']), GOOD, r"^truth: obs\['target'\] is empty in some cells"),
    (
        GOOD,
        as_cells(VALUES - 2.0, LABELS),
        r'^prediction: X has negative values, the lowest is -2; counts are 0 or more',
    ),
    (as_cells(VALUES / np.nan, LABELS), GOOD, '^truth: X has values that are missing or infinite'),
    (GOOD, as_cells(VALUES / 2, LABELS), '^prediction: X has values that are no whole numbers'),
]


@pytest.mark.parametrize(('truth', 'prediction', 'message'), CASES)
def test_what_cannot_be_compared_is_one_sentence(truth, prediction, message):
    with pytest.raises(InputError, match=message) as told:
        make_pair(truth, prediction)
    assert str(told.value).endswith('.')
    assert '\n' not in str(told.value)


def test_counts_are_not_taken_for_logarithms():
    logs = as_cells(np.log1p(VALUES), LABELS)
    assert not make_pair(logs, logs, counts=False).counts
    with pytest.raises(InputError, match='^prediction: all values of X are whole numbers.*counts=True'):
        make_pair(logs, GOOD, counts=False)
    with pytest.raises(InputError, match='log-normalised values are 0 or more'):
        make_pair(logs, as_cells(-np.log1p(VALUES), LABELS), counts=False)
