"""Which pairs are open."""

import numpy as np
import pytest
from screens_for_tests import measurements, query, two_contexts

from perturbjax.errors import InputError
from perturbjax.models import Query
from perturbjax.planning.candidates import not_measured_yet, unmeasured
from perturbjax.screens.screen import assemble


def named(compendium, asked):
    names = compendium.vocabulary
    contexts = [names.contexts[i] for i in asked.context]
    return set(zip(contexts, names.perturbation_names(asked.perturbation)))


def on_host(asked):
    return Query(*map(np.asarray, asked))


def test_what_is_not_measured():
    compendium = two_contexts()
    assert named(compendium, unmeasured(compendium)) == {('b', 'h'), ('b', 'g+h')}


def test_names_that_no_file_measures_and_pairs_of_parts_take_part():
    rows = [('a', name, (1.0,)) for name in ('control', 'g', 'h', 'i', 'g+h', 'h+i')]
    compendium = assemble([measurements(rows, ['x'])], ['log1p'], unmeasured=['j'])
    assert named(compendium, unmeasured(compendium)) == {('a', 'j')}
    assert named(compendium, unmeasured(compendium, with_pairs=True)) == {('a', 'j'), ('a', 'g+i')}


def test_a_profile_without_a_value_is_not_measured():
    compendium = two_contexts()
    compendium.screens[0].values[1] = np.nan  # g in a
    assert named(compendium, unmeasured(compendium)) == {('b', 'h'), ('b', 'g+h'), ('a', 'g')}


def test_nothing_left_to_measure_is_told():
    rows = [('a', name, (1.0,)) for name in ('control', 'g')]
    compendium = assemble([measurements(rows, ['x'])], ['log1p'])
    with pytest.raises(InputError, match=r'next: every perturbation is measured in every context; name more in data'):
        unmeasured(compendium)


def test_of_a_table_what_is_open_is_left_once():
    compendium = two_contexts()
    pairs = [('b', 'g+h'), ('a', 'g'), ('b', 'h'), ('b', 'control'), ('b', 'g+h')]
    left = not_measured_yet(on_host(query(compendium, pairs, ['x', 'y'])), compendium)
    assert left.context.tolist() == [1, 1]
    assert compendium.vocabulary.perturbation_names(left.perturbation) == ['g+h', 'h']
    with pytest.raises(InputError, match=r'each pair that --queries asks for is measured'):
        not_measured_yet(on_host(query(compendium, [('a', 'g')], ['x'])), compendium)
