"""The nearest-neighbour rule against a loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import everything, measurements, query, query_of

from perturbjax.errors import InputError
from perturbjax.models import nearest
from perturbjax.screens.screen import assemble

# No column for F; the column of `CRISPRi_E` counts for that type alone, the others for every type.
VECTORS = {'A': (1, 0, 0), 'B': (2, 1, 0), 'C': (0, 1, 0.5), 'D': (-1, 0.2, 0), 'CRISPRi_E': (1, 1, 1)}
NAMES = [*'ABCD', 'E', 'F', 'A+B', 'C+D', 'B+F']


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp('embedding') / 'vectors.tsv'
    pd.DataFrame(VECTORS).to_csv(file, sep='\t', index=False)
    return str(file)


@pytest.fixture(scope='module')
def compendium():
    """Two screens that share a context and a readout; one value is missing."""
    rng = np.random.default_rng(0)

    def screen(name, contexts, readouts):
        perturbations = ['+'.join(f'CRISPRi_{part}' for part in each.split('+')) for each in NAMES]
        pairs = [(c, perturbation) for c in contexts for perturbation in ['control', *perturbations]]
        return measurements([(*pair, rng.normal(size=len(readouts))) for pair in pairs], readouts, name)

    made = assemble([screen('first', 'ab', list('xy')), screen('second', 'b', list('zy'))], ['log1p'] * 2)
    made.screens[0].values[1, 0] = np.nan  # x of A in a
    return made


def vector(perturbation):
    """The embedding of a perturbation; None where a part has none."""
    found = [VECTORS.get(part, VECTORS.get(part.removeprefix('CRISPRi_'))) for part in perturbation.split('+')]
    return None if None in found else np.sum(found, axis=0)


def oracle(compendium, training, context, perturbation, readout, neighbours):
    names, table, trains = compendium.vocabulary, compendium.table(), np.concatenate(training)

    def mean(asked):
        found = []
        for i, row in enumerate(table.itertuples()):
            screen = next(each for each in compendium.screens if each.name == row.screen)
            if trains[i] and (row.context, row.perturbation) == (context, asked) and readout in screen.readout:
                found.append(screen.values[row.row, list(screen.readout).index(readout)])
        found = [value for value in found if not np.isnan(value)]
        return np.mean(found) if found else np.nan

    if perturbation == 'control':
        return mean('control')
    there = sorted(
        {row.perturbation for i, row in enumerate(table.itertuples()) if trains[i] and row.context == context}
    )
    asked, cosines = vector(perturbation), {}
    for name in there:
        if name != 'control' and vector(name) is not None and asked is not None:
            cosines[name] = vector(name) @ asked / np.linalg.norm(vector(name)) / np.linalg.norm(asked)
    ids = {name: tuple(names.perturbation_ids([name], 2)[0]) for name in cosines}
    best = sorted(cosines, key=lambda name: (-cosines[name], ids[name]))[:neighbours]
    counted = [(cosines[name], mean(name) - mean('control')) for name in best if cosines[name] > 0]
    counted = [(weight, change) for weight, change in counted if not np.isnan(change)]
    total = sum(weight for weight, _ in counted)
    return mean('control') + sum(weight * change for weight, change in counted) / total if counted else np.nan


def masks(compendium):
    """Everything trains; or A and A+B do not; or, in b, nothing but C+D and control does."""
    table = compendium.table()
    some = ~table['perturbation'].isin(['CRISPRi_A', 'CRISPRi_A+CRISPRi_B'])
    few = (table['context'] == 'a') | table['perturbation'].isin(['control', 'CRISPRi_C+CRISPRi_D'])
    end = len(compendium.screens[0].context)
    return [
        tuple(map(np.asarray, everything(compendium))),
        *((np.array(m[:end]), np.array(m[end:])) for m in (some, few)),
    ]


def predicted(model, compendium, training, pairs, readouts):
    asked = query(compendium, pairs, readouts)
    return jax.jit(lambda mask: model.predict(model.fit(compendium, mask), asked))(training)


@pytest.fixture(scope='module')
def model(path):
    return nearest(path, neighbours=2)


@pytest.fixture(scope='module')
def answer(model, compendium):
    """The answers for the first screen's profiles over all readouts, by the training mask."""
    asked = query_of(compendium.screens[0])._replace(readout=jnp.arange(3))
    return jax.jit(lambda training: model.predict(model.fit(compendium, training), asked))


def test_predictions_are_those_of_a_loop(compendium, answer):
    names, (screen, _), asked = compendium.vocabulary, compendium.screens, {}
    for training in masks(compendium):
        found = np.asarray(answer(training))
        for i, name in enumerate(names.perturbation_names(screen.perturbation)):
            for readout in range(3):
                key = id(training), names.contexts[screen.context[i]], name, readout
                if key not in asked:
                    asked[key] = oracle(compendium, training, *key[1:], neighbours=2)
                np.testing.assert_allclose(found[i, readout], asked[key], rtol=1e-4, atol=1e-5, err_msg=str(key))
    values = np.array(list(asked.values()))
    assert 0.3 < np.isfinite(values).mean() < 0.9


def test_all_masks_in_one_vmap_are_one_fit_each(compendium, answer):
    chosen = masks(compendium)
    together = jax.jit(jax.vmap(answer))(tuple(map(jnp.stack, zip(*chosen))))
    for found, training in zip(together, chosen):
        np.testing.assert_allclose(found, answer(training), rtol=1e-5, atol=1e-6)


def test_there_is_no_answer_without_an_embedding_or_without_neighbours(compendium, model):
    asked = [('a', 'CRISPRi_F'), ('a', 'CRISPRi_B+CRISPRi_F'), ('b', 'CRISPRi_A'), ('b', 'CRISPRi_C')]
    found = predicted(model, compendium, masks(compendium)[2], [*asked, ('b', 'control')], list('xyz'))
    # C+D is at more than a right angle to A.
    np.testing.assert_array_equal(np.isfinite(found).all(axis=1), [False, False, False, True, True])
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), [True, True, True, False, False])


def test_of_equally_near_ones_the_first_in_the_vocabulary_counts():
    rows = [('a', 'control', [0.0]), ('a', 'A', [1.0]), ('a', 'B', [2.0]), ('a', 'C', [4.0])]
    compendium, model = assemble([measurements(rows, ['x'])], ['log1p']), nearest('identity', neighbours=1)
    found = predicted(model, compendium, everything(compendium), [('a', 'A+B'), ('a', 'B+C'), ('a', 'C')], ['x'])
    np.testing.assert_allclose(found, [[1], [2], [4]], rtol=1e-6)


def test_bad_settings_are_told(tmp_path):
    with pytest.raises(InputError, match='neighbours: 0 must be at least 1'):
        nearest('identity', neighbours=0)
    with pytest.raises(InputError, match='there is none from training'):
        nearest('training')
    with pytest.raises(InputError, match='missing.tsv'):
        nearest(str(tmp_path / 'missing.tsv'))
