import numpy as np
import pandas as pd
import pytest
from tables_for_tests import random_table, table

from perturbjax.analysis.mechanisms import mechanism_agreement
from perturbjax.errors import InputError


def labels(rows):
    return pd.DataFrame(rows, columns=['compound', 'label'])


def test_agreement_by_hand():
    """a and b share and lie side by side; c and d share, but e, alone in its class, lies nearer to both."""
    angles = np.deg2rad([0, 10, 90, 200, 95])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    unknown = -vectors.sum(axis=0)  # f, which makes the mean 0
    there = table([f'Compound_{name}-1uM' for name in 'abcdef'], [*vectors, unknown])
    found = mechanism_agreement(there, labels([*zip('abcde', ['K', 'K', 'M', 'M', 'N']), ('a', 'M')]), 50)
    row = found.overall.iloc[0]
    assert row['value'] == 0.5
    assert row[['source', 'compounds', 'neighbours', 'mechanisms']].tolist() == ['embedding', 4, 5, 2]
    assert found.by_mechanism.values.tolist() == [['embedding', 'K', 2, 1], ['embedding', 'M', 3, 1 / 3]]


def test_planted_classes_are_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    names, classes = [f'c{i}' for i in range(60)], np.arange(60) % 10
    planted = rng.normal(size=(10, 8))[classes] + 0.3 * rng.normal(size=(60, 8))
    tokens = [f'Compound_{name}' for name in names]
    found = mechanism_agreement(
        {'planted': table(tokens, planted), 'noise': random_table(tokens)}, labels([*zip(names, classes)]), 200
    ).overall.set_index('source')
    assert found.loc['planted', 'value'] > 0.9
    assert found.loc['planted', 'p'] == 1 / 201
    assert found.loc['noise', 'p'] > 0.05
    np.testing.assert_allclose(found['null'], 5 / 59, atol=0.02)


def test_nothing_to_agree_on_is_told():
    with pytest.raises(InputError, match='no two of the 2 known compounds share one; nothing can be compared'):
        mechanism_agreement(random_table(['Compound_a', 'Compound_b']), labels([('a', 'K'), ('b', 'M')]))
