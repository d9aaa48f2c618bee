"""The experiment files: all can be read, and those on the real screens give the numbers they say."""

import ast
import itertools
import pathlib
import re
import runpy

import anndata
import ml_collections
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax import experiment
from perturbjax.config import parse
from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.readers.loading import load
from perturbjax.renames import with_new_names
from perturbjax.screens.splits import TEST, TRAIN, make_split

FOLDER = pathlib.Path(__file__).parents[1] / 'experiments'
NAMES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))


def config_of(name, *arguments) -> ml_collections.ConfigDict:
    return runpy.run_path(str(FOLDER / f'{name}.py'))['get_config'](*arguments)


@pytest.mark.parametrize('name', NAMES)
def test_every_config_is_one(name):
    config = config_of(name)
    assert {'no_change', 'mean'} <= set(make_models(parse(config).models))
    assert with_new_names(config.to_dict(), quiet=True) == config.to_dict()  # no name that was replaced


@pytest.mark.parametrize('name', NAMES)
def test_every_docstring_says_how_to_run_it_and_what_to_expect(name):
    text = ast.get_docstring(ast.parse((FOLDER / f'{name}.py').read_text()))
    assert re.search(rf'^    perturbjax --config={name}[: ]', text, re.M)
    is_run = re.search(r'(seconds|minute|minutes) on 2 CPU cores', text) and 'xpect' in text
    assert is_run or 'Not run at full size' in text


@pytest.mark.parametrize(
    ('name', 'arguments', 'wrong'),
    [
        ('lpm_lincs', ['ht29_compounds', 'mcf7_crispr'], 'HT29'),
        ('benchmark_norman', ['doubles', 'simulation'], 'double'),
        ('benchmark_singles', ['adamson', 'replogle_k562', 'replogle_rpe1'], 'replogle'),
        ('benchmark_fly_mapk', ['log2_cell_number', 'nuclear_area'], 'area'),
        ('drug_response', ['gdsc1', 'nci60', 'almanac'], 'gdsc'),
        ('norman_expression', ['subset', 'geometry'], 'gears'),
        ('paper_comparison', ['norman', 'adamson', 'replogle_k562', 'replogle_rpe1', 'own'], 'k562'),
        ('unseen_names', ['hpn_times', 'p100_contexts', 'p100_drugs', 'gdsc2_lines', 'papalexi'], 'drugs'),
    ],
)
def test_configs_of_an_argument(name, arguments, wrong):
    assert len({config_of(name, argument).to_json() for argument in arguments}) == len(arguments)
    for argument in arguments:
        parse(config_of(name, argument))
    with pytest.raises(InputError, match=f'{name}.py: no such .* {wrong!r}'):
        config_of(name, wrong)


def predicted(config, folder):
    """Truth `[N, M]` and each model's predictions of the held-out profiles, by the shortest training."""
    config.training = {'epochs': 2}
    for settings in config.models.values():
        if 'training' in settings:
            settings.training.update(epochs=2)
    for mode in ('train', 'predict'):
        experiment.run(config, str(folder), mode)
    return anndata.read_h5ad(folder / 'predictions.h5ad')


def l2(predictions, model):
    """Mean over the profiles that the model answers."""
    error = predictions.layers[model] - predictions.layers['truth']
    answered = ~np.isnan(error).all(axis=1)
    return np.sqrt(np.nansum(error[answered] ** 2, axis=1)).mean()


def coverage(predictions, model):
    """The share of the measured values that the model predicts."""
    return 1 - np.isnan(predictions.layers[model][~np.isnan(predictions.layers['truth'])]).mean()


def only(config, *models):
    for other in set(config.models) - set(models):
        del config.models[other]
    return config


def on_real(name, folder, data, *models, seeds=(0,), **split):
    """An experiment on a real screen, of some models and with these seeds only."""
    config = only(config_of(name), *models)
    config.data.update({key: str(path) for key, path in data.items()})
    config.split.update(seeds=seeds, **split)
    return predicted(config, folder)


def test_korkut_gives_the_known_errors_on_all_pairs(shared, tmp_path):
    data = {'path': shared / 'korkut_2015_skmel133.h5ad'}
    pairs = on_real('benchmark_korkut', tmp_path, data, 'additive', 'linear', 'lpm_released', test=1.0)
    assert len(pairs) == 66
    assert l2(pairs, 'additive') == pytest.approx(2.01, abs=0.005)
    assert l2(pairs, 'no_change') == pytest.approx(4.36, abs=0.005)
    assert coverage(pairs, 'linear') == coverage(pairs, 'lpm_released') == 1


def test_papalexi_runs_from_raw_counts(shared, tmp_path):
    data = {'path': shared / 'papalexi_2021.h5ad'}
    unseen = on_real('benchmark_papalexi', tmp_path, data, 'linear', 'linear_random', seeds=(0, 1, 2, 3, 4))
    assert l2(unseen, 'mean') == pytest.approx(2.59, abs=0.005)
    assert 0 < coverage(unseen, 'linear') < 0.5
    assert coverage(unseen, 'linear_random') == 1


def test_p100_and_gcp_train_over_both_panels(shared, tmp_path):
    data = {'path': shared / 'lincs_p100_gcp'}
    unseen = on_real('benchmark_p100_gcp', tmp_path, data, 'context_mean', 'lpm_released', seeds=(13,))
    assert coverage(unseen, 'lpm_released') == coverage(unseen, 'context_mean') == 1
    assert l2(unseen, 'context_mean') < l2(unseen, 'mean')


@pytest.mark.parametrize(
    ('name', 'files', 'pairs', 'least'),
    [
        ('benchmark_fly_mapk', {'path': 'fly_mapk_2011.h5ad'}, 2139, 0.97),
        (
            'benchmark_norman_fitness',
            {
                'path': 'norman_2019_fitness/double_fitness.csv',
                'singles': 'norman_2019_fitness/single_fitness.csv',
            },
            3164,
            0.93,
        ),
    ],
)
def test_pairs_with_one_readout_are_nearly_additive(shared, tmp_path, name, files, pairs, least):
    unseen = on_real(name, tmp_path, {key: shared / file for key, file in files.items()}, 'additive')
    assert unseen.shape == (pairs, 1)
    assert np.corrcoef(unseen.layers['additive'][:, 0], unseen.layers['truth'][:, 0])[0, 1] > least


def split_of(name, argument, path):
    """The data of an experiment, and its first split."""
    config = config_of(name, *argument)
    config.data.path = str(path)
    settings = config.split.to_dict()
    rule, (seed, *_) = settings.pop('name'), settings.pop('seeds')
    compendium = load(config.data)
    return compendium, make_split(compendium, rule, seed, **settings)


def test_the_papers_comparison_has_gears_where_there_is_a_graph():
    without, graph = config_of('paper_comparison', 'own'), config_of('paper_comparison', 'own:edges.csv')
    assert 'gears' not in without.models
    assert 'gears' in without.evaluation.lacks
    assert graph.models.gears.graph == 'edges.csv'
    assert set(graph.evaluation.lacks) == set(without.evaluation.lacks) - {'gears'}


def test_unseen_times_are_held_out_in_every_line(shared):
    compendium, split = split_of('unseen_names', ['hpn_times'], shared / 'hpn_dream_2013_4lines.h5ad')
    tested = compendium.table()[np.concatenate(split.roles) == TEST]
    assert set(tested['context']) == {f'{line}_5min' for line in ('BT20', 'BT549', 'MCF7', 'UACC812')}
    lists = config_of('unseen_names', 'hpn_times').split.lists
    assert {context for fold in lists.values() for context, _ in fold} == set(compendium.vocabulary.contexts)


@pytest.mark.parametrize(
    ('argument', 'file', 'contexts', 'profiles'),
    [('nci60', 'nci60_zscore_1075x60', 60, 61_307), ('almanac', 'nci_almanac_comboscore_5355x60', 59, 300_010)],
)
def test_drug_response_holds_out_entries(shared, argument, file, contexts, profiles):
    compendium, split = split_of('drug_response', [argument], shared / f'drug_response/{file}.h5ad')
    (screen,), (roles,) = compendium.screens, split.roles
    assert screen.values.shape == (profiles, 1)
    assert len(compendium.vocabulary.contexts) == contexts
    assert screen.order.max() == (2 if argument == 'almanac' else 1)
    assert (roles == TEST).sum() == round(0.15 * (screen.order > 0).sum())
    ids = np.unique(screen.perturbation, axis=0, return_inverse=True)[1].ravel()
    assert set(ids) == set(ids[roles == TRAIN])  # each drug, or pair of drugs, trains


def test_drug_mean_has_the_known_error_on_gdsc1(shared):
    compendium, split = split_of('drug_response', ['gdsc1'], shared / 'drug_response/gdsc1_auc.h5ad')
    (screen,), (roles,) = compendium.screens, split.roles
    assert set(screen.values[screen.is_control, 0]) == {1}
    drug, value = screen.perturbation[:, 0], screen.values[:, 0]
    train = roles == TRAIN
    mean = np.bincount(drug[train], value[train]) / np.bincount(drug[train])
    error = (mean[drug] - value)[roles == TEST]
    assert np.sqrt((error**2).mean()) == pytest.approx(0.129, abs=0.002)


def test_stimuli_and_inhibitors_are_combined_by_a_template(shared):
    compendium, split = split_of('hpn_dream', [], shared / 'hpn_dream_2013_4lines.h5ad')
    (screen,), names = compendium.screens, compendium.vocabulary
    assert len(names.contexts) == 24
    assert set(names.perturbations) == {
        *('control', 'EGF', 'FGF1', 'HGF', 'IGF1', 'Insulin', 'NRG1', 'Serum'),
        *('GSK690693', 'GSK690693&GSK1120212', 'PD173074'),
    }
    assert len(np.unique(screen.perturbation[screen.order == 2], axis=0)) == 21
    assert screen.is_control.sum() == 24
    assert (screen.cells == 1).all()  # each profile is one well
    doubles = compendium.table()[np.concatenate(split.roles) == TEST]
    assert doubles['perturbation'].nunique() == 10


@pytest.mark.parametrize(('screen', 'shape'), [('subset', (34, 500)), ('geometry', (237, 50))])
def test_norman_expression(shared, screen, shape):
    file = {'subset': 'norman19_subset_k562', 'geometry': 'norman_2019_geometry_237'}[screen]
    compendium, _ = split_of('norman_expression', [screen], shared / f'norman_2019_expression/{file}.h5ad')
    assert compendium.screens[0].values.shape == shape
    assert compendium.screens[0].is_control.sum() == 1


GENES = [f'G{i}' for i in range(16)]


def write_gears(path, conditions, cell_type, seed=0):
    """A file as GEARS makes it: cells of each condition, log-normalised, sparse, Ensembl ids and gene names."""
    rng = np.random.default_rng(seed)
    effects = {gene: rng.normal(size=len(GENES)) for gene in GENES}
    names = [name for name in ('ctrl', *conditions) for _ in range(3)]
    change = [sum(effects[part] for part in name.split('+') if part != 'ctrl') for name in names]
    values = np.maximum(2 + np.array([each + np.zeros(len(GENES)) for each in change]), 0)
    anndata.AnnData(
        scipy.sparse.csr_matrix(values.astype(np.float32)),
        obs=pd.DataFrame({'condition': names, 'cell_type': cell_type}, [f'cell{i}' for i in range(len(names))]),
        var=pd.DataFrame({'gene_name': GENES}, [f'ENSG{i}' for i in range(len(GENES))]),
    ).write_h5ad(path)
    return str(path)


SINGLES = [f'{gene}+ctrl' if i % 2 else f'ctrl+{gene}' for i, gene in enumerate(GENES)]


def refuse_published(config, folder, asked=True):
    """The published scores are of other genes: told before anything is written, and then not asked for."""
    assert ('published' in config.get('evaluation', {})) == asked
    if asked:
        with pytest.raises(InputError, match=r'evaluation.published: none of the held-out perturbations .*G1'):
            experiment.run(config, str(folder))
        assert not folder.exists()
        config.evaluation.published = ''


@pytest.mark.parametrize('split', ['doubles', 'simulation'])
def test_norman_on_a_file_of_its_form(tmp_path, split):
    config = config_of('benchmark_norman', split)
    pairs = [f'{a}+{b}' for a, b in itertools.combinations(GENES[:8], 2)]
    config.data.path = write_gears(tmp_path / 'perturb_processed.h5ad', [*SINGLES, *pairs], 'A549')
    refuse_published(config, tmp_path / 'run', split == 'doubles')
    unseen = predicted(config, tmp_path / 'run')
    assert coverage(unseen, 'linear') == 1
    assert (coverage(unseen, 'additive') == 1) == (split == 'doubles')
    assert l2(unseen, 'additive') < 0.5 * l2(unseen, 'mean')


def test_singles_on_files_of_their_form(tmp_path):
    config = only(config_of('benchmark_singles', 'replogle_k562'), 'linear', 'linear_identity', 'linear_transfer')
    for i, (name, source) in enumerate(config.data.screens.items()):
        source.path = write_gears(tmp_path / f'{name}.h5ad', SINGLES, 'K562', i)
    refuse_published(config, tmp_path / 'run')
    unseen = predicted(config, tmp_path / 'run')
    assert set(unseen.obs['context']) == {'replogle_k562'}
    assert unseen.obs.groupby('split').size().tolist() == [4, 4]
    assert all(coverage(unseen, model) == 1 for model in config.models)
