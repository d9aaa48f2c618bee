"""The low-rank rule on simulated screens, with and without a structure that it can find."""

import itertools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import measurements, query_of

from perturbjax.errors import InputError
from perturbjax.models import low_rank
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split

MODEL = low_rank(rank=4, num_folds=3, tuning_readouts=4)
# Compiling takes most of the time of these tests.
QUICKLY = {'xla_backend_optimization_level': 0}
fit, refit, predict = (jax.jit(each, compiler_options=QUICKLY) for each in (MODEL.fit, MODEL.refit, MODEL.predict))

PAIRS, CONTEXTS = range(2)


def pair_screen(pairs=0.0, contexts=0.0):
    """All pairs of 10 genes in 5 contexts: sums of effects, noise of 0.1, and what the arguments multiply.

    Args:
      pairs: a matrix genes x genes of rank 2, the same in all contexts.
      contexts: a matrix perturbations x contexts of rank 1.
    """
    rng, size = np.random.default_rng(0), 3
    genes, lines = [f'g{i}' for i in range(10)], 'abcde'
    single, factor, own = rng.normal(size=(10, size)), rng.normal(size=(10, 2)), rng.normal(size=(5, size))
    rows = [(line, 'control', np.zeros(size)) for line in lines]
    for some in [*itertools.combinations(range(10), 1), *itertools.combinations(range(10), 2)]:
        product = factor[list(some)].prod(axis=0).sum() if len(some) == 2 else 0.0
        sensitivity = rng.normal()
        for j, line in enumerate(lines):
            values = single[list(some)].sum(axis=0) + pairs * product + contexts * sensitivity * own[j]
            rows.append((line, '+'.join(genes[i] for i in some), values + 0.1 * rng.normal(size=size)))
    return assemble([measurements(rows, list('xyz'))], ['log1p'])


def drug_table(strength):
    """The response of 12 cell lines to 20 drugs: sums of effects, a product of this strength, and noise of 0.1."""
    rng = np.random.default_rng(1)
    drug, line = rng.normal(size=(20, 2)), rng.normal(size=(12, 2))
    rows = [(f'line{j}', 'control', [0.0]) for j in range(12)]
    for i, j in itertools.product(range(20), range(12)):
        value = drug[i, 0] + line[j, 0] + strength * drug[i, 1] * line[j, 1] + 0.1 * rng.normal()
        rows.append((f'line{j}', f'drug{i}', [value]))
    return assemble([measurements(rows, ['viability'])], ['log1p'])


def fitted(compendium, split, **settings):
    """The params, and the root mean square errors over held-out profiles of the ridge rule and of the low-rank one.

    One training profile in ten lacks its first readout.
    """
    training, (screen,) = make_split(compendium, split, 0, **settings).mask(TRAIN), compendium.screens
    truth = screen.values.copy()
    screen.values[np.flatnonzero(training[0] & (screen.perturbation[:, 0] > 0))[::10], 0] = np.nan
    params = fit(compendium, training)
    base = params._replace(matrices=tuple(each._replace(scale=0 * each.scale) for each in params.matrices))
    answers = [np.asarray(predict(each, query_of(screen))) for each in (base, params)]
    return params, *(float(np.sqrt(np.mean((each - truth)[~training[0]] ** 2))) for each in answers)


def test_genes_that_interact_alike_with_others_do_so_with_each_other():
    params, base, error = fitted(pair_screen(pairs=1.0), 'unseen_double', test=0.3)
    assert error < 0.7 * base
    assert params.kind == PAIRS
    assert params.penalty < np.inf


def test_contexts_that_respond_alike_to_some_perturbations_do_so_to_others():
    params, base, error = fitted(pair_screen(contexts=1.0), 'unseen_pairs', test=0.2)
    assert error < 0.7 * base
    assert params.kind == CONTEXTS
    assert (params.matrices[PAIRS].scale == 0).all()


def test_a_table_of_drugs_and_cell_lines_is_filled_in():
    params, base, error = fitted(drug_table(1.0), 'unseen_pairs', test=0.2)
    assert error < 0.7 * base
    assert params.penalty < np.inf


@pytest.mark.parametrize(
    ('compendium', 'split'),
    [(pair_screen(), 'unseen_double'), (pair_screen(), 'unseen_pairs'), (drug_table(0.0), 'unseen_pairs')],
)
def test_without_structure_it_hardly_differs_from_the_ridge_rule(compendium, split):
    _, base, error = fitted(compendium, split, test=0.2)
    assert error < 1.02 * base


def test_refitting_keeps_what_was_chosen():
    """On the same profiles it is the same fit; on others, with other residuals, the penalties and the kind stay."""
    compendium = drug_table(1.0)
    (screen,), training = compendium.screens, make_split(compendium, 'unseen_pairs', 0, test=0.2).mask(TRAIN)
    params = fit(compendium, training)
    same = refit(params, compendium, training)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), same, params)
    other = refit(params, compendium, (training[0] & (screen.context != 3),))
    assert (other.penalty, other.kind) == (params.penalty, params.kind)
    np.testing.assert_array_equal(other.base.whole.penalties, params.base.whole.penalties)
    assert abs(other.matrices[0].scale - params.matrices[0].scale) > 1e-3
    assert np.isfinite(other.matrices[0].factors.left).all()


def test_two_masks_in_one_vmap_are_two_fits():
    compendium = drug_table(1.0)
    masks = [make_split(compendium, 'unseen_pairs', seed, test=0.2).mask(TRAIN) for seed in (0, 1)]
    every = jax.jit(jax.vmap(lambda mask: MODEL.fit(compendium, mask)), compiler_options=QUICKLY)
    together = every(tuple(map(jnp.stack, zip(*masks))))
    each_one = (jax.tree.map(operator.itemgetter(i), together) for i in range(2))
    asked = query_of(compendium.screens[0])
    for one, mask in zip(each_one, masks):
        alone = fit(compendium, mask)
        assert alone.penalty == one.penalty
        np.testing.assert_allclose(predict(one, asked), predict(alone, asked), rtol=1e-3, atol=1e-3)


def test_bad_settings_are_told():
    with pytest.raises(InputError, match='models.low_rank.rank: 0 must be at least 1'):
        low_rank(rank=0)
    with pytest.raises(InputError, match='models.low_rank.num_folds: 1 must be at least 2'):
        low_rank(num_folds=1)
    with pytest.raises(InputError, match='models.low_rank.penalty: -1.0 must be at least 0'):
        low_rank(penalty=-1.0)
