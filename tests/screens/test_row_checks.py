"""Rows that do not look like what their scale says are told, and right ones are not."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from screens_for_tests import measurements

from perturbjax.screens.aggregation import average
from perturbjax.screens.blocks import Block, Stored

COUNTS = np.random.default_rng(0).poisson(3, (40, 50)).astype(np.float64)
NORMALISED = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4
FORMS = {'dense': np.asarray, 'sparse': scipy.sparse.csr_matrix}


def told(values, caplog, scale='log1p', **settings):
    rows = measurements([('a', 'control', (0,) * 50)] * 40, [f'r{i}' for i in range(50)])
    average(dataclasses.replace(rows, values=values), scale=scale, **settings)
    return caplog.text


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        (
            COUNTS,
            'all values of the first 40 rows are whole numbers up to 10, as raw counts are, but data.scale is log1p',
        ),
        (NORMALISED, 'look like normalised counts without a logarithm, since only so all rows have one sum'),
        (np.log2(1 + NORMALISED), 'look like log2(1 + x), since only so all rows have one sum'),
        (np.log1p(np.log1p(NORMALISED)), 'look like ln(1 + x) taken twice, since only so all rows have one sum'),
        (COUNTS * 1.5, 'reach 15, but ln(1 + counts per 10,000) hardly exceeds 13.8; if no logarithm was taken'),
    ],
)
def test_odd_rows_are_told(values, sentence, form, caplog):
    assert sentence in told(FORMS[form](values), caplog)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    ('values', 'settings'),
    [
        (np.log1p(NORMALISED), {}),
        (np.log1p(NORMALISED.round(1)), {}),
        (np.log1p(COUNTS), {}),
        (np.log1p(COUNTS * 1.5), {}),
        (COUNTS, {'counts': True}),
        (COUNTS, {'scale': 'z-score'}),
        (COUNTS, {'scale': ''}),
        (COUNTS > 4, {}),
        (COUNTS - 3.5, {}),
    ],
)
def test_sound_rows_are_not(values, settings, form, caplog):
    assert not told(FORMS[form](np.asarray(values, float)), caplog, **settings)


def test_missing_values_and_blocks_of_columns(caplog):
    """NaN is no number; a block of some columns has no sum of whole rows, but whole numbers are seen in it."""
    holes = np.where(np.random.default_rng(1).random(COUNTS.shape) < 0.1, np.nan, COUNTS)
    assert 'whole numbers up to 10' in told(holes, caplog)
    caplog.clear()
    for values, is_told in ((COUNTS, True), (np.log1p(np.log1p(NORMALISED)), False)):
        halves = [Block(slice(0, 40), slice(i, i + 25), values[:, i : i + 25]) for i in (0, 25)]
        stored = Stored((40, 50), lambda halves=halves: iter(halves), by_columns=True)
        assert ('whole numbers' in told(stored, caplog)) == is_told
        assert 'taken twice' not in caplog.text
        caplog.clear()
