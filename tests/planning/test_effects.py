"""What the closed-form rules do not know, against numpy; and what members do not agree on."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.models import kernel, two_way
from perturbjax.models.held_out_like import all_profiles, flat_values, flat_weight
from perturbjax.models.model import Fitted, Model, Query
from perturbjax.models.two_way import features, groups_of
from perturbjax.planning.candidates import measured, unmeasured
from perturbjax.planning.disagreement import disagreement
from perturbjax.planning.greedy import choose, quadratic
from perturbjax.planning.kernel_effects import kernel_effects, left_of
from perturbjax.planning.ridge_effects import ridge_covariance, ridge_effects
from perturbjax.planning.suggest import batch_table, model_to_ask, what_is_not_known
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split

GENES = [f'g{i}' for i in range(8)]
PENALTIES = (0.5, 2.0, 3.0, 1.0)
VECTORS = pd.DataFrame(np.random.default_rng(3).normal(size=(2, 8)), columns=[*GENES[:7], 'new'])


@pytest.fixture(scope='module')
def compendium():
    """Three contexts, eight genes and a pair; a fifth is not measured, nor anything of `new`."""
    rng = np.random.default_rng(0)
    rows = [(c, 'control', np.zeros(4)) for c in 'abc']
    names = [*GENES, 'g0+g1']
    rows += [(c, name, rng.normal(size=4)) for c in 'abc' for name in names if rng.random() > 0.2 or name == 'g0']
    return assemble([measurements(rows, list('wxyz'))], ['log1p'], unmeasured=['new'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_pairs', 0, test=0.1)


@pytest.fixture(scope='module')
def ridge(compendium, split):
    return jax.jit(two_way(PENALTIES).fit)(compendium, split.mask(TRAIN))


def indicators(compendium, context, perturbation):
    """The features of a profile of the ridge rule, written anew: perturbed, contexts, combination, parts."""
    names = compendium.vocabulary
    row = np.zeros(2 + len(names.contexts) + len(names.perturbations))
    parts = [i for i in perturbation if i > 0]
    row[0], row[1 + context], row[1 + len(names.contexts)] = 1, 1, len(parts) > 1
    row[[2 + len(names.contexts) + i for i in parts]] = 1
    return row


def penalty_of(compendium):
    names = compendium.vocabulary
    return np.repeat(PENALTIES, (1, len(names.contexts), 1, len(names.perturbations)))


def test_the_batch_of_the_ridge_rule_is_that_of_regressions_in_numpy(compendium, ridge):
    asked = unmeasured(compendium)
    effects, rows = ridge_effects(ridge, compendium, measured(compendium), asked)
    found = choose(effects, rows, rows, size=5)
    screen = compendium.screens[0]
    known = [indicators(compendium, c, p) for c, p in zip(screen.context, screen.perturbation) if p[0] > 0]
    open_rows = np.array([indicators(compendium, c, p) for c, p in zip(asked.context, asked.perturbation)])

    def total(chosen):
        x = np.array(known + [open_rows[i] for i in chosen])
        covariance = np.linalg.inv(x.T @ x + np.diag(penalty_of(compendium)))
        return np.einsum('tf,fg,tg->', open_rows, covariance, open_rows)

    chosen = []
    for _ in range(5):
        chosen.append(min(set(range(len(open_rows))) - set(chosen), key=lambda i: total([*chosen, i])))
    lost = -np.diff([total(chosen[:n]) for n in range(6)])
    np.testing.assert_allclose(np.asarray(found.reduction / found.before), lost / total([]), rtol=2e-4)
    assert found.row.tolist() == chosen


def test_the_variance_is_in_units_of_the_values(compendium, split, ridge):
    """sigma^2 is that of the marginal likelihood in numpy, over training profiles."""
    training = split.mask(TRAIN)
    effects, _ = ridge_effects(ridge, compendium, measured(compendium), unmeasured(compendium))
    screen, used = compendium.screens[0], training[0] & ~compendium.screens[0].is_control
    x = np.array([indicators(compendium, c, p) for c, p in zip(screen.context[used], screen.perturbation[used])])
    y = np.asarray(screen.values[used], float)  # control is 0
    marginal = np.eye(len(x)) + x @ np.diag(1 / penalty_of(compendium)) @ x.T
    expected = np.einsum('nm,nk,km->m', y, np.linalg.inv(marginal), y) / len(x)
    np.testing.assert_allclose(effects.unit, [expected.mean()], rtol=1e-3)


@pytest.mark.parametrize('penalties', [PENALTIES, (*PENALTIES, 0.7)])
def test_the_covariance_is_that_of_the_fitted_rule(compendium, split, penalties):
    """Times X'y it gives the effects that `two_way` fits, those of whole combinations among them."""
    ridge = jax.jit(two_way(penalties).fit)(compendium, split.mask(TRAIN))
    profiles = all_profiles(compendium)
    is_fitted = jnp.concatenate(ridge.deltas.training)
    ids, penalty = features(ridge, profiles), ridge.whole.penalties[groups_of(compendium.vocabulary, ridge.known)]
    covariance = ridge_covariance(ids, is_fitted, flat_weight(compendium), penalty)
    x = np.zeros((len(ids), len(penalty) + 1))
    np.add.at(x, (np.arange(len(ids))[:, None], np.where(ids < 0, -1, ids)), 1)
    x = x[:, :-1]
    change = np.where(is_fitted[:, None], flat_values(compendium, profiles.readout), 0)
    np.testing.assert_allclose(covariance @ (x.T @ change), ridge.whole.effects, atol=1e-5)
    assert np.asarray(ridge.whole.effects)[-len(ridge.known) :].any() == (len(penalties) == 5)


@pytest.fixture(scope='module')
def process(compendium, split, tmp_path_factory):
    path = tmp_path_factory.mktemp('vectors') / 'genes.tsv'
    VECTORS.to_csv(path, sep='\t', index=False)
    rule = kernel(str(path))
    return rule, jax.jit(rule.fit)(compendium, split.mask(TRAIN))


def test_the_kernel_rule_knows_most_of_what_is_near_to_what_is_measured(compendium, split, process):
    _, params = process
    asked = Query(*map(jnp.asarray, unmeasured(compendium)))
    training = tuple(map(jnp.asarray, split.mask(TRAIN)))
    effects, rows = kernel_effects(params, compendium, training, measured(compendium), asked)
    assert not np.asarray(rows.value[0, asked.perturbation[:, 0] == 8]).any()  # g7 has no embedding
    found = np.asarray(quadratic(effects.covariance, rows)[0])
    expected = in_numpy(compendium, asked, float(params.screens[0].length), float(effects.noise[0]))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def in_numpy(compendium, asked, length, penalty):
    """The variances of a process that has seen every measured profile, one by one."""
    names, (screen,) = compendium.vocabulary, compendium.screens

    def vector(perturbation):
        found = [VECTORS.get(names.perturbations[i]) for i in perturbation if i > 0]
        return None if any(each is None for each in found) else sum(each.to_numpy() for each in found)

    seen = np.array([v for p in screen.perturbation if p[0] > 0 and (v := vector(p)) is not None])
    near = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / (2 * length**2))  # noqa: E731
    inverse = np.linalg.inv(near(seen, seen) + penalty * np.eye(len(seen)))
    variances = []
    for perturbation in np.asarray(asked.perturbation):
        here = vector(perturbation)
        if here is None:
            variances.append(0)
            continue
        k = near(here[None], seen)[0]
        variances.append(1 - k @ inverse @ k)
    return variances


def test_profiles_of_one_perturbation_add_up():
    """Prior variance 1, penalty 0.5, two profiles: 1 - 1 / (1 + 0.25) = 0.2; nothing is told of the other."""
    left = left_of(jnp.eye(2), jnp.array([2.0, 0.0]), jnp.array(0.5))
    np.testing.assert_allclose(left, [[0.2, 0], [0, 1]], rtol=1e-6)


def _ensemble():
    """Three members that differ at odd perturbations alone; the spread adds a variance of 0.25."""

    def each(fitted, asked):
        odd = (jnp.asarray(asked.perturbation)[:, 0] % 2)[:, None] * jnp.ones(len(asked.readout))[None, :]
        return fitted.weights['shift'][:, None, None] * odd[None]

    def spread(fitted, asked):
        return jnp.sqrt(each(fitted, asked).var(axis=0) + 0.25)

    model = Model(None, lambda fitted, asked: each(fitted, asked).mean(axis=0), None, spread, lambda f: f.num_members)
    return model, Fitted({'shift': np.array([-1.0, 0.0, 4.0], np.float32)}, {}, {})


def test_where_members_disagree_is_measured_first(compendium):
    """Variance of -1, 0, 4 is 42 / 9; all odd perturbations share it, so the first measurement tells of all."""
    model, fitted = _ensemble()
    asked = unmeasured(compendium)
    effects, rows = disagreement('lpm', model, fitted, asked)
    odd = int((asked.perturbation[:, 0] % 2 == 1).sum())
    found = choose(effects, rows, rows, size=1)
    np.testing.assert_allclose(found.variance, 42 / 9, rtol=1e-5)
    np.testing.assert_allclose(found.before, odd * 42 / 9, rtol=1e-5)
    np.testing.assert_allclose(found.reduction, odd * (42 / 9) ** 2 / (42 / 9 + 0.25), rtol=1e-5)


def test_members_that_agree_are_told(compendium):
    model, fitted = _ensemble()
    same = fitted._replace(weights=jax.tree.map(np.zeros_like, fitted.weights))
    with pytest.raises(InputError, match=r"the members of 'lpm' predict the same everywhere.*name another model"):
        disagreement('lpm', model, same, unmeasured(compendium))


def test_the_table_has_names_and_shares(compendium, split, ridge):
    training, asked = split.mask(TRAIN), unmeasured(compendium)
    unknown = what_is_not_known('two_way', 'two_way', two_way(PENALTIES), ridge, compendium, training, asked)
    table = batch_table(*unknown, asked, compendium.vocabulary, 4)
    assert table.columns.tolist() == ['rank', 'context', 'perturbation', 'spread', 'reduction', 'left']
    assert table['rank'].tolist() == [1, 2, 3, 4]
    pairs = set(zip(table['context'], table['perturbation']))
    assert len(pairs) == 4
    assert not pairs & set(compendium.table()[['context', 'perturbation']].itertuples(index=False, name=None))
    np.testing.assert_allclose(table['left'], 1 - table['reduction'].cumsum())
    assert 'new' in set(table['perturbation'])  # nothing is known of it
    assert len(batch_table(*unknown, asked, compendium.vocabulary, 1000)) <= len(asked.context)


def test_the_model_that_is_asked():
    models = {'mean': Model(None, None), 'gp': Model(None, None), 'lpm': Model(None, None, spread=lambda *_: 0)}
    kinds = {'gp': 'kernel'}
    assert model_to_ask('', kinds, models) == 'gp'
    assert model_to_ask('lpm', kinds, models) == 'lpm'
    assert model_to_ask('', {}, models) == 'lpm'
    with pytest.raises(InputError, match=r"no such label 'lpn'; did you mean 'lpm'"):
        model_to_ask('lpn', kinds, models)
    with pytest.raises(InputError, match=r"next.model: 'mean' does not say how sure it is; add one of 'two_way'"):
        model_to_ask('mean', kinds, models)
