import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import everything, golden_profiles, measurements, query, query_of

from perturbjax.errors import InputError
from perturbjax.models import additive, linear, linear_transfer
from perturbjax.models.linear import components
from perturbjax.screens.screen import assemble
from perturbjax.screens.vocabulary import combine

TOLERANCE = {np.float64: 2e-5, np.float32: 2e-4}


def training_of(compendium, golden):
    """The golden split's training conditions; a second screen trains whole."""
    conditions = json.loads((golden / 'split.json').read_text())['train']
    trains = {combine(part for part in condition.split('+') if part != 'ctrl') for condition in conditions}
    masks = [
        [name in trains or screen.name == 'reference' for name in compendium.vocabulary.perturbation_names(ids)]
        for screen, ids in ((screen, screen.perturbation) for screen in compendium.screens)
    ]
    return tuple(jnp.array(mask) for mask in masks)


def predict(model, compendium, training, asked):
    return np.array(jax.jit(model.predict)(jax.jit(model.fit)(compendium, training), asked))


def assert_equals_r(answer, genes, expected, dtype):
    """The whole table, NA where R has NA; rows that R leaves out are NaN."""
    assert answer.dtype == dtype
    expected = pd.read_csv(expected, sep='\t', index_col=0)
    answer = pd.DataFrame(answer.T, index=genes, columns=expected.columns)
    np.testing.assert_allclose(answer.loc[expected.index], expected, rtol=0, atol=TOLERANCE[dtype])
    assert answer.drop(expected.index).isna().all(axis=None)


@pytest.mark.parametrize(
    ('file', 'settings'),
    [
        ('linear_training_k10', {}),
        ('linear_training_k4_ridge1', {'rank': 4, 'ridge': 1.0}),
        ('linear_gene_embedding', {'readout_embedding': 'gene_embedding.tsv'}),
        ('linear_perturbation_embedding', {'perturbation_embedding': 'perturbation_embedding.tsv'}),
    ],
)
def test_linear_equals_the_r_script(golden, dtype, file, settings):
    settings = {name: str(golden / value) if name.endswith('embedding') else value for name, value in settings.items()}
    screen = golden_profiles(golden / 'pseudobulk.tsv', 'screen', dtype)
    compendium = assemble([screen], ['log1p'])
    answer = predict(linear(**settings), compendium, training_of(compendium, golden), query_of(compendium.screens[0]))
    assert_equals_r(answer, screen.readout, golden / f'{file}.tsv', dtype)


def test_transfer_equals_lemur(golden, dtype):
    screens = [golden_profiles(golden / f'{file}.tsv', name, dtype) for file, name in
               (('pseudobulk', 'screen'), ('reference_pseudobulk', 'reference'))]  # fmt: skip
    compendium = assemble(screens, ['log1p', 'log1p'])
    model = linear_transfer('reference', rank=8)
    answer = predict(model, compendium, training_of(compendium, golden), query_of(compendium.screens[0]))
    assert_equals_r(answer, screens[0].readout, golden / 'transfer_k8.tsv', dtype)


def test_additive_equals_the_r_script(golden):
    compendium = assemble([golden_profiles(golden / 'doubles_pseudobulk.tsv', 'screen', np.float32)], ['log1p'])
    screen = compendium.screens[0]
    answer = predict(additive(), compendium, (jnp.asarray(screen.order <= 1),), query_of(screen))
    expected = pd.read_csv(golden / 'additive.tsv', sep='\t', index_col=0)
    np.testing.assert_allclose(answer.T, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope='module')
def screen():
    rng = np.random.default_rng(0)
    genes = [f'g{i}' for i in range(12)]
    rows = [(context, name, rng.normal(size=12)) for context in 'ab' for name in ['control', *genes[:9], 'g0+g1']]
    return assemble([measurements(rows, genes)], ['log1p'])


def test_contexts_do_not_see_each_other(screen):
    changed = jax.tree.map(np.copy, screen)
    changed.screens[0].values[11:] *= 3
    asked = query(screen, [('a', 'g3'), ('a', 'g0+g1')], screen.vocabulary.readouts)
    answers = [predict(linear(3), each, everything(screen), asked) for each in (screen, changed)]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize('source', ['zero', 'random', 'identity'])
def test_other_embeddings(screen, source):
    """Zero predicts the mean change; the others fit the singles outside the pair as the ridge goes to 0."""
    asked = query_of(screen.screens[0])
    model = linear(40, 1e-4, readout_embedding='identity', perturbation_embedding=source)
    answer = predict(model, screen, everything(screen), asked)[3:10]
    profiles = screen.screens[0].values
    expected = profiles[3:10] if source != 'zero' else np.tile(profiles[:11].mean(0), (7, 1))
    np.testing.assert_allclose(answer, expected, atol=0.02)


def test_values_not_measured_count_as_the_mean_change(screen):
    holed = jax.tree.map(np.copy, screen)
    holed.screens[0].values[3, 4] = np.nan
    answer = predict(linear(3), holed, everything(screen), query_of(screen.screens[0]))
    assert np.isfinite(answer).all()


def test_transfer_with_fewer_rows_than_components_is_stable():
    """Where the normal equations are singular in float32, the result must not depend on the precision."""
    rng = np.random.default_rng(0)
    genes = [f'g{i}' for i in range(30)]
    names = ['control', *genes[:16]]
    rows = [[(context, name, rng.normal(0, 10, 30)) for name in names] for context in 'ab']
    answers = []
    for precise in (False, True):
        jax.config.update('jax_enable_x64', precise)
        dtype = np.float64 if precise else np.float32
        both = assemble([measurements(each, genes, str(i), dtype) for i, each in enumerate(rows)], ['log1p'] * 2)
        training = (jnp.arange(17) < 5, jnp.ones(17, bool))
        answers.append(predict(linear_transfer('b', rank=10), both, training, query_of(both.screens[0])))
    jax.config.update('jax_enable_x64', False)
    np.testing.assert_allclose(*answers, atol=0.05)


@pytest.mark.parametrize('shape', [(40, 9), (9, 40), (9, 9)])
@pytest.mark.parametrize('width', [4, 12])
def test_components_are_the_leading_part_of_the_centred_matrix(dtype, shape, width):
    """Singular values from 1 to 1e-4: the small ones keep their accuracy relative to the largest, also in float32."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(size, 8)))[0] for size in shape)
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    sizes = 10.0 ** -np.arange(0, 4, 0.5)
    scores = np.array(components(jnp.asarray((left * sizes) @ right.T, dtype), width))
    assert scores.shape == (shape[0], width)
    expected = np.pad(left * sizes, ((0, 0), (0, 4)))[:, :width]
    scores *= np.sign((scores * expected).sum(axis=0))
    np.testing.assert_allclose(scores[:, :8], expected[:, :8], atol=1e-6 if dtype == np.float32 else 1e-12)
    np.testing.assert_allclose(scores[:, 8:], 0, atol=1e-6)


def test_bad_settings_are_told(screen, tmp_path):
    with pytest.raises(InputError, match='ridge: 0.0 must be above 0'):
        linear(ridge=0.0)
    with pytest.raises(InputError, match='missing.tsv'):
        linear(readout_embedding=str(tmp_path / 'missing.tsv'))
    (tmp_path / 'other.tsv').write_text('q1\tq2\n1\t2\n')
    with pytest.raises(InputError, match="other.tsv: none of its names .*'q1', 'q2'"):
        linear(readout_embedding=str(tmp_path / 'other.tsv')).fit(screen, everything(screen))
    with pytest.raises(InputError, match="no context 'aa'; did you mean 'a'"):
        linear_transfer('aa').fit(screen, everything(screen))
