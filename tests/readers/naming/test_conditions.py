import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers.naming.conditions import BOUNDS, meets
from perturbjax.readers.naming.fields import select

NAN = np.nan
FORMS = {
    'float': [0.1, 0.2, NAN, 3.0],
    'float32': np.array([0.1, 0.2, NAN, 3.0], np.float64),
    'text': ['0.1', '0.20', None, '3'],
    'bytes': np.array([b'0.1', b'0.2', b'', b'3'], object),
    'category': pd.Categorical([0.1, 0.2, NAN, 3.0]),
    'nullable': pd.array([0.1, 0.2, None, 3.0], 'Float64'),
}


@pytest.mark.parametrize('values', FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ('wanted', 'rows'),
    [
        ({'at_least': 0.2}, [1, 3]),
        ({'above': 0.2}, [3]),
        ({'at_most': 0.2}, [0, 1]),
        ({'below': 0.2}, [0]),
        ({'above': 0, 'at_most': 1}, [0, 1]),
        ({'not': 3}, [0, 1, 2]),
        ({'not': (0.1, '3.0')}, [1, 2]),
        ({'not': ''}, [0, 1, 3]),
        ({'not': 0.1, 'at_most': 1}, [1]),
        ('', [2]),
    ],
)
def test_numbers_within_bounds(values, wanted, rows, caplog):
    assert list(np.flatnonzero(meets(pd.Series(values), wanted, 'f: v'))) == rows
    bounded = isinstance(wanted, dict) and set(wanted) - {'not'}
    assert ('f: v: 1 rows have no value there and are left out' in caplog.text) == bool(bounded)


@given(
    st.lists(st.floats(-9, 9) | st.just(NAN), min_size=1, max_size=9),
    st.dictionaries(st.sampled_from(list(BOUNDS)), st.floats(-9, 9), min_size=1),
)
def test_bounds_mean_what_they_say(values, wanted):
    def holds(value):
        compare = {'at_least': '__ge__', 'at_most': '__le__', 'above': '__gt__', 'below': '__lt__'}
        return all(getattr(value, compare[word])(bound) for word, bound in wanted.items())

    expected = [place for place, value in enumerate(values) if holds(value)]
    if expected:
        assert list(np.flatnonzero(meets(pd.Series(values), wanted, 'f'))) == expected
    else:
        with pytest.raises(InputError, match='is nowhere|has no value anywhere'):
            meets(pd.Series(values), wanted, 'f')


@pytest.mark.parametrize(
    ('wanted', 'message'),
    [
        ({'at_leest': 1}, r"f: where: 'n': no such condition 'at_leest'; did you mean 'at_least'\?"),
        ({'at_least': '0.2'}, "f: where: 'n': at_least '0.2' is not a bound; give a number"),
        ({'at_least': True}, 'at_least True is not a bound'),
        ({'at_least': NAN}, 'at_least nan is not a bound'),
        (
            {'at_least': 0.5, 'below': 9},
            "'n' is nowhere at_least 0.5 and below 9; the values .* from 0.1 to 0.2",
        ),
        ({'not': (0.1, 0.2)}, r"'n' is nowhere not \(0.1, 0.2\); the values there are '0.1', '0.2'"),
    ],
)
def test_conditions_that_cannot_be_met(wanted, message):
    with pytest.raises(InputError, match=message):
        select(pd.DataFrame({'n': [0.1, 0.2]}), {'n': wanted}, 'f', 'where')


def test_text_has_no_bounds():
    with pytest.raises(InputError, match="f: v holds 'low', which is not a number that can be compared"):
        meets(pd.Series(['0.1', 'low']), {'at_least': 0}, 'f: v')
    with pytest.raises(InputError, match='f: v has no value anywhere, so none is within bounds'):
        meets(pd.Series([NAN, NAN]), {'at_least': 0}, 'f: v')


def test_what_not_leaves_out_nothing_is_told(caplog):
    assert meets(pd.Series(['a', 'b']), {'not': 'c'}, 'f: v').all()
    assert "f: v is nowhere 'c', so this condition leaves nothing out" in caplog.text
