"""Old names of settings are accepted with a warning, anywhere in a config."""

import logging

import pytest

from perturbjax.errors import InputError
from perturbjax.renames import with_new_names, with_released_lpm


def test_old_names_become_new_ones_and_are_told(caplog):
    old = {
        'training': {'batch': 5, 'epochs': 2},
        'models': {'small': {'model': 'lpm', 'hidden': (8,)}, 'mine': {'hidden': 3}},
        'data': {'screens': {'a': {'missing': (0,), 'fields': {'kind': 'RNAi', 'context': 'cell'}}}},
    }
    with caplog.at_level(logging.WARNING, logger='absl'):
        new = with_new_names(old)
    assert new == {
        'training': {'batch_size': 5, 'epochs': 2},
        'models': {'small': {'model': 'lpm', 'hidden_dims': (8,)}, 'mine': {'hidden': 3}},
        'data': {
            'screens': {'a': {'missing_values': (0,), 'fields': {'perturbation_type': 'RNAi', 'context': 'cell'}}}
        },
    }
    assert [record.getMessage().split(';')[0] for record in caplog.records] == [
        "training.batch is called 'batch_size' now",
        "models.lpm.hidden is called 'hidden_dims' now",
        "data.screens.a.missing is called 'missing_values' now",
        "data.screens.a.fields.kind is called 'perturbation_type' now",
    ]


def test_a_part_of_a_config_is_renamed_by_its_path(caplog):
    assert with_new_names({'fields': {'kind': 'RNAi'}}, 'data', quiet=True) == {'fields': {'perturbation_type': 'RNAi'}}
    assert with_new_names({'batch': 5}, 'training.sweep', quiet=True) == {'batch': 5}
    assert not caplog.records


def test_both_names_are_refused():
    with pytest.raises(InputError, match=r"training.batch: it is called 'batch_size' now, and both are given"):
        with_new_names({'training': {'batch': 5, 'batch_size': 6}})


def test_the_lpm_of_an_earlier_version_is_the_released_one():
    models = {'lpm': {'embedding_dim': 4}, 'small': {'model': 'lpm'}, 'mean': {}}
    config = with_released_lpm({'seed': 0, 'models': models})
    released = {'model': 'lpm_released'}
    assert config == {'seed': 0, 'models': {'lpm': {'embedding_dim': 4, **released}, 'small': released, 'mean': {}}}
    assert with_released_lpm({'training': {}}) == {'training': {}}
