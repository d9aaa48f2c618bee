import jax
import numpy as np
import pandas as pd
import pytest
from etils import epath
from tables_for_tests import random_table, table

from perturbjax.analysis.deltas import mean_deltas
from perturbjax.analysis.embeddings import axis_table, read_embeddings
from perturbjax.analysis.targets import target_recall
from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm_released
from perturbjax.screens.aggregation import average
from perturbjax.screens.screen import assemble
from perturbjax.screens.simulation import simulate
from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train


def known(rows):
    return pd.DataFrame(rows, columns=['compound', 'label'])


def test_ranks_by_hand():
    """A lies at 10 degrees, B at 20, C at 170, D at 200; x at 0 is of A and D, y at 180 is of B."""
    angles = np.deg2rad([0, 180, 10, 20, 170, 200])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    names = ['Compound_x-1uM', 'Compound_y-1uM', *(f'CRISPRi_{gene}' for gene in 'ABCD'), 'Compound_unknown']
    there = table(names, [*vectors, -vectors.sum(axis=0)])
    found = target_recall(there, known([('x', 'A'), ('x', 'D'), ('y', 'B'), ('y', 'not perturbed')]), (1, 2), 20)
    # x sees A, B, D, C, and A and D are no rivals of each other; y sees C, D, B, A.
    assert found.ranks[['compound', 'target', 'rank', 'genes']].values.tolist() == [
        ['x', 'A', 1, 3],
        ['x', 'D', 2, 3],
        ['y', 'B', 3, 4],
    ]
    overall = found.overall.set_index('measure')
    expected = {'recall@1': 1 / 3, 'recall@2': 2 / 3, 'median_rank': 2, 'auroc': (1 + 1 / 2 + 1 / 3) / 3}
    assert overall['value'].to_dict() == pytest.approx(expected)
    assert overall[['compounds', 'genes', 'pairs']].iloc[0].tolist() == [2, 4, 3]
    assert found.by_target[['target', 'compounds', 'median_rank', 'recall@1']].values.tolist() == [
        ['A', 1, 1, 1],
        ['B', 1, 3, 0],
        ['D', 1, 2, 0],
    ]


def brute_force(cosine, pairs):
    """Ranks and numbers of rivals of (compound, gene) pairs, one by one."""
    ranks = []
    for compound, gene in pairs:
        others = [g for c, g in pairs if c == compound and g != gene]
        rivals = np.delete(cosine[compound], [gene, *others])
        ranks.append((1 + (rivals > cosine[compound, gene]).sum(), len(rivals) + 1))
    return ranks


def test_ranks_as_by_brute_force():
    rng = np.random.default_rng(0)
    pairs = sorted({(int(c), int(g)) for c, g in zip(rng.integers(8, size=20), rng.integers(10, size=20))})
    there = random_table([f'Compound_{c}' for c in range(8)] + [f'CRISPRi_g{g}' for g in range(10)])
    found = target_recall(there, known([(str(c), f'g{g}') for c, g in pairs]), permutations=3)
    rows = there.X - there.X.mean(axis=0)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = brute_force(rows[:8] @ rows[8:].T, pairs)
    np.testing.assert_array_equal(found.ranks[['rank', 'genes']], expected)


def planted(noise, genes=30, compounds=60):
    rng = np.random.default_rng(0)
    vectors, target = rng.normal(size=(genes, 8)), rng.integers(genes, size=compounds)
    names = [f'CRISPRi_g{i}' for i in range(genes)] + [f'Compound_c{i}-10uM' for i in range(compounds)]
    rows = np.concatenate([vectors, vectors[target] + noise * rng.normal(size=(compounds, 8))])
    return table(names, rows), known([(f'c{i}', f'g{target[i]}') for i in range(compounds)])


def test_planted_targets_are_found_and_noise_is_not():
    there, targets = planted(noise=0.3)
    found = target_recall({'planted': there, 'noise': random_table(list(there.obs['name']))}, targets, permutations=200)
    overall = found.overall.set_index(['source', 'measure'])
    assert overall.loc[('planted', 'recall@1'), 'value'] > 0.9
    assert (overall.loc['planted', 'p'] == 1 / 201).all()
    assert (overall.loc['noise', 'p'] > 0.01).all()
    np.testing.assert_allclose(overall.xs('recall@1', level='measure')['null'], 1 / 30, atol=0.02)
    np.testing.assert_allclose(overall.xs('auroc', level='measure')['null'], 0.5, atol=0.02)
    each = found.by_target[found.by_target['source'] == 'planted']
    assert each['compounds'].sum() == 60
    assert each['auroc'].min() > 0.9
    np.testing.assert_allclose(np.average(each['recall@1'], weights=each['compounds']), overall.iloc[0]['value'])


def test_the_null_of_noise_holds_its_size():
    """Over many tables of noise, p is as often below 0.2 as it should be."""
    _, targets = planted(noise=0)
    names = list(planted(noise=0)[0].obs['name'])
    tables = {str(seed): random_table(names, seed=seed) for seed in range(40)}
    p = target_recall(tables, targets, permutations=50).overall.query('measure == "auroc"')['p']
    assert 1 <= (p <= 0.2).sum() <= 16


def test_what_cannot_be_judged_is_told():
    there = random_table(['Compound_x', 'CRISPRi_STAT1', 'CRISPRi_JAK2'])
    with pytest.raises(
        InputError, match=r"no genetic perturbation is of a known target \('Stat1'\); known are 'JAK2', 'STAT1'"
    ):
        target_recall(there, known([('x', 'Stat1')]))
    with pytest.raises(InputError, match='all perturbed genes are targets of one compound'):
        target_recall(there, known([('x', 'STAT1'), ('x', 'JAK2')]))
    with pytest.raises(InputError, match=r'analysis.permutations: 0 must be at least 1'):
        target_recall(there, known([('x', 'STAT1')]), permutations=0)


def train_lpm(folder, compendium):
    split = make_split(compendium, 'unseen_in_context', 13, context='context1')
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium), 'lpm')
    settings = TrainingSettings(0.005, 0.95, weight_decay=1.0, batch_size=500, epochs=30, checkpoint_every=30)
    learner = lpm_released(16, (128, 128)).learner
    writer = MetricWriter(epath.Path(folder) / 'metrics.jsonl', 'lpm', 13)
    checkpoint = epath.Path(folder) / 'lpm' / '13'
    train(learner, compendium, split, settings, 13, about, checkpoint, writer, jax.local_devices()[:1])
    return axis_table(read_embeddings(folder / 'lpm' / '13'))


def test_a_trained_lpm_places_compounds_by_their_targets(tmp_path):
    """In a simulated screen, whose compounds do what the knock-down of their target does."""
    simulation = simulate(
        contexts=8, panels=1, targets=12, compounds=24, doubles=0, readouts=144, programs=12, cells=60, measured=1
    )
    compendium = assemble([average(each, counts=True) for each in simulation.measurements], ['log1p'])
    tables = {'lpm': train_lpm(tmp_path, compendium), 'profiles': mean_deltas(compendium)}
    found = target_recall(tables, known(list(simulation.truth.compound_targets.items())), permutations=200)
    recall = found.overall.query('measure == "recall@1"').set_index('source')
    assert recall.loc['lpm', 'value'] > 0.8
    assert recall.loc['lpm', 'value'] > 2 * recall.loc['lpm', 'null_high']
    assert (recall['p'] == 1 / 201).all()
