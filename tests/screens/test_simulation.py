"""Simulated screens: the truth follows its own rules, and the counts follow the truth."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax.errors import InputError
from perturbjax.screens.aggregation import average
from perturbjax.screens.simulation import simulate
from perturbjax.screens.vocabulary import CONTROL, parts, perturbation_type, target_gene

SMALL = {'contexts': 3, 'targets': 8, 'compounds': 5, 'doubles': 10, 'readouts': 30, 'programs': 4, 'cells': 6}


@pytest.fixture(scope='module')
def default():
    return simulate()


@pytest.fixture(scope='module')
def truth(default):
    return default.truth


@pytest.fixture(scope='module')
def change(truth):
    """The true log fold changes by name: (context, perturbation) x readout."""
    rows = pd.MultiIndex.from_product([truth.gains.index, truth.activity.index])
    return pd.DataFrame(truth.log_fold_change.reshape(len(rows), -1), rows, truth.expression.columns)


@pytest.fixture(scope='module')
def profiles(default):
    """Measured profiles by name, one table per screen, log1p of counts per 10,000."""
    averaged = [average(each, counts=True) for each in default.measurements]
    return [pd.DataFrame(p.values, [p.context, p.perturbation], p.readout) for p in averaged]


def test_the_same_seed_gives_the_same_counts():
    for one, other in zip(simulate(seed=7, **SMALL).measurements, simulate(seed=7, **SMALL).measurements):
        assert (one.values != other.values).nnz == 0
        assert one.perturbation.tolist() == other.perturbation.tolist()
        assert one.readout.tolist() == other.readout.tolist()


def test_another_seed_gives_another_truth():
    one, other = (simulate(seed=seed, **SMALL).truth for seed in (7, 8))
    assert not np.allclose(one.log_fold_change, other.log_fold_change)


def test_measuring_it_otherwise_leaves_the_truth_as_it_is():
    one = simulate(**SMALL).truth
    other = simulate(**SMALL | {'cells': 3, 'depth': 100.0, 'dispersion': 1.0, 'panels': 3, 'measured': 0.5}).truth
    np.testing.assert_array_equal(one.log_fold_change, other.log_fold_change)
    pd.testing.assert_frame_equal(one.expression, other.expression)
    assert one.interactions == other.interactions


def test_shapes_and_names_of_the_truth(truth):
    contexts, programs = [f'context{i}' for i in range(1, 7)], [f'program{i}' for i in range(1, 9)]
    readouts = [f'GENE{i:03}' for i in range(1, 121)]
    assert truth.log_fold_change.shape == (6, 104, 120)
    assert truth.log_fold_change.dtype == np.float32
    for table, rows, columns in (
        (truth.expression, contexts, readouts),
        (truth.gains, contexts, programs),
        (truth.loadings, programs, readouts),
    ):
        assert (table.index.tolist(), table.columns.tolist()) == (rows, columns)
    kinds = [perturbation_type(parts(name)[0]) for name in truth.activity.index]
    assert kinds == ['CRISPRi'] * 40 + ['Compound'] * 24 + ['CRISPRi'] * 40
    assert [len(parts(name)) for name in truth.activity.index] == [1] * 64 + [2] * 40
    assert truth.activity.index[40] == 'Compound_compound01-10uM'
    assert truth.membership.index.tolist() == readouts
    assert truth.membership.value_counts().tolist() == [15] * 8
    assert truth.pathway.index.tolist() == [target_gene(name) for name in truth.activity.index[:40]]
    assert truth.pathway.index.isin(readouts).sum() == 32
    assert truth.activity.index.is_unique


def test_shapes_and_names_of_the_cells(default):
    first, second = default.measurements
    assert (first.name, second.name) == ('screen1', 'screen2')
    assert set(first.context) == {'context1', 'context2', 'context3'}
    assert set(second.context) == {'context4', 'context5', 'context6'}
    assert len(first.readout) == len(second.readout) == 96
    assert len(set(first.readout) | set(second.readout)) == 120
    assert not any('+' in name for name in second.perturbation)
    for each, measured in ((first, 94), (second, 58)):  # 90% of 104 and of 64, rounded up
        sizes = pd.DataFrame({'context': each.context, 'perturbation': each.perturbation}).value_counts()
        perturbed = sizes.drop(index=CONTROL, level='perturbation')
        assert (sizes.xs(CONTROL, level='perturbation') == 400).all()
        assert perturbed.groupby('context').size().tolist() == [measured] * 3
        assert 38 < perturbed.mean() < 42
        assert set(each.perturbation) <= {CONTROL, *default.truth.activity.index}


def test_counts_are_counts(default):
    for each in default.measurements:
        assert isinstance(each.values, scipy.sparse.csr_matrix)
        assert each.values.dtype == np.float32
        assert (each.values.data > 0).all()
        assert (each.values.data == np.floor(each.values.data)).all()


def test_one_panel_has_every_readout():
    (screen,) = simulate(**SMALL, panels=1).measurements
    assert len(screen.readout) == 30
    assert len(set(screen.context)) == 3


def test_control_shares_add_up_to_one(truth):
    np.testing.assert_allclose(np.exp(truth.expression).sum(axis=1), 1)


def test_gains_are_positive_and_differ_between_contexts(truth):
    assert (truth.gains > 0).all(axis=None)
    assert (truth.gains < 0.1).any(axis=None)
    assert (truth.gains.max() / truth.gains.min() > 1.5).all()


def test_programs_load_on_their_own_readouts(truth):
    strongest = truth.loadings.abs().idxmax()
    assert (strongest == truth.membership).all()


def test_change_follows_from_activity_gains_and_loadings(truth, change):
    """By hand, for one compound, which has no transcript of its own."""
    compound = next(iter(truth.compound_targets))
    for context in truth.gains.index:
        expected = (truth.activity.loc[compound] * truth.gains.loc[context]) @ truth.loadings
        np.testing.assert_allclose(change.loc[context, compound], expected, atol=1e-5)


def test_knock_down_leaves_little_of_its_own_transcript(truth, change):
    for gene in truth.pathway.index.intersection(truth.membership.index):
        remaining = np.exp(change.xs(f'CRISPRi_{gene}', level=1)[gene])
        assert ((remaining > 0.049) & (remaining < 0.201)).all()
        assert np.ptp(remaining) == 0


def test_targets_of_one_pathway_act_alike(truth):
    """Up to the sign, which says whether a gene keeps its program up or down."""
    singles = truth.activity.iloc[:40]
    alike = np.abs(np.corrcoef(singles))
    same = truth.pathway.to_numpy()[:, None] == truth.pathway.to_numpy()
    off_diagonal = ~np.eye(40, dtype=bool)
    assert alike[same & off_diagonal].mean() > alike[~same].mean() + 0.3


def test_compounds_share_the_activity_of_their_target(truth, change):
    assert len(truth.compound_targets) == 24
    for compound, gene in truth.compound_targets.items():
        inhibited, own = truth.activity.loc[f'CRISPRi_{gene}'], truth.activity.loc[compound]
        assert np.corrcoef(inhibited, own)[0, 1] > 0.8
        assert 0.3 < own @ inhibited / (inhibited @ inhibited) < 1.1
        if gene in change:
            assert (change.xs(compound, level=1)[gene] > change.xs(f'CRISPRi_{gene}', level=1)[gene]).all()


def test_doubles_add_up_but_for_their_interaction(truth, change):
    doubles = [name for name in truth.activity.index if '+' in name]
    assert len(truth.interactions) == 12
    assert set(truth.interactions) < set(doubles)
    for name in doubles:
        first, second = parts(name)
        summed = change.xs(first, level=1) + change.xs(second, level=1)
        if name not in truth.interactions:
            np.testing.assert_allclose(change.xs(name, level=1), summed, atol=1e-5)
            continue
        kind, strength = truth.interactions[name]
        assert kind == ('buffering' if strength < 0 else 'synergistic')
        own = [target_gene(first), target_gene(second)]
        others = change.columns.difference(own)
        np.testing.assert_allclose(change.xs(name, level=1)[others], (1 + strength) * summed[others], atol=1e-5)
        single = truth.activity.loc[[first, second]].sum()
        np.testing.assert_allclose(truth.activity.loc[name], (1 + strength) * single)


def test_both_kinds_of_interaction_occur(truth):
    assert {interaction.kind for interaction in truth.interactions.values()} == {'buffering', 'synergistic'}


@pytest.mark.parametrize(('share', 'count'), [(0.0, 0), (0.5, 5), (1.0, 10)])
def test_interaction_share(share, count):
    assert len(simulate(**SMALL, interaction_share=share).truth.interactions) == count


def test_moments_of_the_counts():
    """Mean and variance of 20,000 control cells: those of a negative binomial at log-normal depth."""
    simulation = simulate(contexts=1, panels=1, targets=4, compounds=0, doubles=0, readouts=20, cells=2000)
    (screen,) = simulation.measurements
    counts = screen.values[screen.perturbation == CONTROL].toarray().astype(np.float64)
    mean = 5000 * np.exp(simulation.truth.expression.to_numpy()[0])
    spread = np.exp(0.4**2)  # E[library^2] / E[library]^2
    variance = mean + (spread * 1.3 - 1) * mean**2
    error = np.sqrt(variance / len(counts))
    assert (np.abs(counts.mean(axis=0) - mean) < 4 * error).all()
    np.testing.assert_allclose(counts.var(axis=0), variance, rtol=0.15)


def test_perturbed_cells_are_as_expected():
    simulation = simulate(contexts=2, targets=6, compounds=3, doubles=3, readouts=20, cells=500, measured=1.0)
    truth, screen = simulation.truth, simulation.measurements[0]
    panel = truth.expression.columns.get_indexer(screen.readout)
    for place, name in enumerate(truth.activity.index):
        counts = screen.values[screen.perturbation == name]
        log_mean = truth.expression.to_numpy()[0] + truth.log_fold_change[0, place]
        mean = 5000 * np.exp(log_mean)[panel]
        error = np.sqrt((mean + 0.53 * mean**2) / counts.shape[0])
        assert (np.abs(np.asarray(counts.mean(axis=0)).ravel() - mean) < 5 * error).all()


def test_profiles_are_realistic(default, truth, profiles):
    for measurements, profile in zip(default.measurements, profiles):
        zeros = 1 - measurements.values.nnz / np.prod(measurements.values.shape)
        assert 0.05 < zeros < 0.3
        delta = _delta(profile)
        assert 0.05 < np.median(np.abs(delta)) < 0.3
        assert (np.abs(delta.to_numpy()) < 1).mean() > 0.9
        for gene in truth.pathway.index.intersection(delta.columns):
            assert (delta.xs(f'CRISPRi_{gene}', level=1)[gene] < -1).all()


def test_half_of_the_cells_tells_like_the_other_half(default):
    """The correlation of the two halves' changes: high for the stronger perturbations, not perfect."""
    averaged = average(default.measurements[0], counts=True)
    index = [averaged.context, averaged.perturbation]
    profile, first, second = (
        pd.DataFrame(values, index, averaged.readout) for values in (averaged.values, *averaged.halves)
    )
    control = profile.xs(CONTROL, level=1)
    delta = _delta(profile)
    strong = delta[delta.std(axis=1) > delta.std(axis=1).median()].index
    centred = [(each.loc[strong] - control.reindex(strong.get_level_values(0)).to_numpy()) for each in (first, second)]
    agreement = centred[0].corrwith(centred[1], axis=1)
    assert 0.7 < agreement.median() < 0.97
    assert (agreement > 0.5).mean() > 0.9


def test_other_contexts_help_but_gains_matter(truth, profiles):
    """Errors in context 1: no change > the same change as elsewhere > the true change, clearly."""
    delta = _delta(profiles[0])
    here = delta.loc['context1']
    elsewhere = delta.drop('context1').groupby(level=1).mean().reindex(here.index)
    true = _expected_delta(truth, 'context1', here.index, here.columns)
    errors = [_rmse(here - guess) for guess in (0, elsewhere, true)]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.3 * errors[2]


def _delta(profile):
    control = profile.xs(CONTROL, level=1)
    perturbed = profile.drop(index=CONTROL, level=1)
    return perturbed - control.loc[perturbed.index.get_level_values(0)].to_numpy()


def _expected_delta(truth, context, perturbations, readouts):
    """On the scale of the profiles, but for what the noise of single cells does to a logarithm."""
    control = truth.expression.loc[context, readouts].to_numpy()
    place = truth.gains.index.get_loc(context)
    columns = truth.expression.columns.get_indexer(readouts)
    change = truth.log_fold_change[place][np.ix_(truth.activity.index.get_indexer(perturbations), columns)]
    share = np.exp(control + np.vstack([np.zeros_like(control), change]))
    level = np.log1p(1e4 * share / share.sum(axis=1, keepdims=True))
    return level[1:] - level[0]


def _rmse(difference):
    return float(np.sqrt(np.nanmean(difference.to_numpy() ** 2)))


@pytest.mark.parametrize(
    ('settings', 'names'),
    [
        ({'doubles': 29}, 'doubles=29 is more than the 28 pairs of targets'),
        ({'panels': 4}, 'panels=4 is more than the 3 contexts'),
        ({'programs': 31}, 'programs=31 is more than the 30 readouts'),
        ({'contexts': 0}, 'contexts=0'),
        ({'panels': 0}, 'panels=0'),
        ({'targets': 2.5}, 'targets=2.5'),
        ({'compounds': -1}, 'compounds=-1'),
        ({'cells': 0}, 'cells=0'),
        ({'seed': -1}, 'seed=-1'),
        ({'depth': 0}, 'depth=0'),
        ({'depth': float('nan')}, 'depth=nan'),
        ({'dispersion': 0.0}, 'dispersion=0.0'),
        ({'interaction_share': 1.5}, 'interaction_share=1.5'),
        ({'measured': 0.0}, 'measured=0.0'),
        ({'measured': '0.9'}, "measured='0.9'"),
    ],
)
def test_bad_settings(settings, names):
    with pytest.raises(InputError, match=names):
        simulate(**SMALL | settings)


@pytest.mark.parametrize(
    'smallest',
    [
        {'contexts': 1, 'panels': 1, 'targets': 1, 'compounds': 0, 'doubles': 0, 'readouts': 1, 'programs': 1},
        {'contexts': 2, 'panels': 2, 'targets': 2, 'compounds': 0, 'doubles': 1, 'readouts': 1, 'programs': 1},
        {'contexts': 1, 'panels': 1, 'targets': 9, 'compounds': 2, 'doubles': 0, 'readouts': 2, 'programs': 2},
    ],
)
def test_smallest_settings(smallest):
    simulation = simulate(cells=1, **smallest)
    assert len(simulation.measurements) == smallest['panels']
    assert np.isfinite(simulation.truth.log_fold_change).all()
