"""The summary as a table that people can read, from a summary made up by hand."""

import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.tables import HEADLINE, best, number, span, summary_table

MODELS = ['mean', 'no_change', 'linear', 'lpm', 'silent']


@pytest.fixture(scope='module')
def summary():
    """`no_change` alone predicts everything; `lpm` is the best of all, and `silent` predicts nothing."""
    rows = []
    for metric, definition in METRICS.items():
        for position, model in enumerate(MODELS[:-1]):
            value = (4 - position) / 3 if definition.lower_is_better else position / 10
            ends = {'low': value - 0.1, 'high': value + 0.1, 'ratio_low': 0.5, 'ratio_high': 1.5}
            rows.append({'model': model, 'metric': metric, 'value': value, 'ratio': value, 'perturbations': 16, **ends})
        rows.append({'model': 'silent', 'metric': metric, 'perturbations': 0})
    coverage = dict(zip(MODELS, (0.956, 1, 0.764, 0.8, 0)))
    table = pd.DataFrame(rows)
    table['coverage'] = table['model'].map(coverage)
    table['value'] = table['value'].where(table['metric'] != 'pds_l1')  # as where nothing can be told apart
    return table.sort_values('model', key=lambda names: names.map(MODELS.index), kind='stable', ignore_index=True)


def test_best_needs_coverage(summary):
    chosen = summary[best(summary)]
    assert set(chosen['model']) == {'no_change'}
    full = summary.assign(coverage=1.0)
    for metric in ('rmse', 'r2'):
        assert list(full[best(full) & (full['metric'] == metric)]['model']) == ['lpm']
    assert not best(summary.assign(coverage=0.5)).any()
    assert not (best(full) & (full['metric'] == 'pds_l1')).any()


def test_numbers_are_short():
    values = [0.5, 12.34, 123.4, 1234.5, 0.01234, 1e-9, 0, -0.25, np.nan, np.inf]
    texts = ['0.500', '12.3', '123', '1.23e+03', '0.0123', '1e-09', '0', '-0.250', '-', 'inf']
    assert [number(value) for value in values] == texts
    assert span(0.5, 1) == '[0.500, 1.00]'
    assert span(np.nan, np.nan) == ''


def blocks_of(text):
    return [block.splitlines() for block in text.split('\n\n')[:-1]]


def test_the_table_can_be_read(summary):
    text = summary_table(summary)
    assert max(map(len, text.splitlines())) <= 120
    assert text.isascii()
    blocks = blocks_of(text)
    headers = [header.strip() for block in blocks for header in block[0].strip('|').split('|')]
    assert [header for header in headers if header != 'model'] == [
        *('n', 'coverage', 'l2', 'l2 / mean', 'rmse', 'rmse / mean', 'pearson_delta', 'pearson_delta_perturbed_mean'),
        *('weighted_r2_delta', 'des'),
    ]
    for block in blocks:
        assert len({line.count('|') for line in block}) == 1
        assert [line.split('|')[1].strip() for line in block[2:]] == MODELS
    row = summary.set_index(['model', 'metric']).loc[('linear', 'l2')]
    assert f'{number(row["value"])} [{number(row["low"])}, {number(row["high"])}]' in text
    assert '1.00* [0.900, 1.10]' in text  # the best with nearly every value
    assert '| 76.4% ' in text
    assert 'Lower is better: l2, rmse. Higher is better: pearson_delta, ' in text


def test_all_metrics_that_have_a_value_can_be_asked_for(summary):
    headers = [
        cell.strip()
        for block in blocks_of(summary_table(summary, metrics=list(METRICS)))
        for cell in block[0].split('|')
    ]
    assert set(METRICS) - set(headers) == {'pds_l1'}
    assert set(HEADLINE) <= set(METRICS)


def test_a_narrow_table_has_one_column_in_each_block(summary):
    assert all(block[0].count('|') == 3 for block in blocks_of(summary_table(summary, width=10)))
