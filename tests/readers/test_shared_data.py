"""Every file of real data is read through the public way in: a `data` config."""

import numpy as np
import pytest

from perturbjax.errors import InputError
from perturbjax.interop.screens import write_screens
from perturbjax.readers.loading import load
from perturbjax.readers.table import read_matrix

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

WELLS = {'context': '{cell_id}_{pert_time}h', 'perturbation': '{pert_iname}-{pert_dose}{pert_dose_unit}'}
PLATE = {
    'source': 'gct',
    'scale': 'log2-ratio',
    'missing_values': [-13.2877],
    'fields': {
        **WELLS,
        'separator': '',
        'control': ['ctrl_vehicle'],
        'control_column': 'pert_type',
        'perturbation_type': 'Compound',
    },
}
LEVEL_3 = {'context_name': '42MGBA', 'perturbation': '{pert_iname}-{pert_dose}uM', 'readout': 'pr_gene_symbol'}
LEVEL_5 = {'context_name': '42MGBA', 'perturbation': 'class_a', 'readout': 'pr_gene_symbol'}
SYNTHETIC = {'context_name': 'a', 'separator': ''}

# By path: the settings; how many profiles, readouts, rows, contexts and parts of perturbations (and control) there are.
SCREENS = {
    'papalexi_2021.h5ad': (
        {
            'counts': True,
            'scale': 'log1p',
            'fields': {'context': 'cell_line', 'control': ['non-targeting'], 'perturbation_type': 'CRISPR-KO'},
        },
        (26, 299, 20729, 1, 26),
    ),
    'korkut_2015_skmel133.h5ad': (
        {
            'scale': 'log-fold-change',
            'fields': {'context': 'cell_line', 'perturbation': 'condition', 'perturbation_type': 'Compound'},
        },
        (89, 87, 89, 1, 23),
    ),
    'fly_mapk_2011.h5ad': (
        {'scale': 'as-measured', 'fields': {'context_name': 'S2', 'perturbation_type': 'RNAi'}},
        (4372, 3, 69194, 1, 94),
    ),
    'morphic_ko_log2fc.h5ad': (
        {
            'scale': 'log-fold-change',
            'fields': {'context': 'context', 'readout': 'gene_name', 'perturbation_type': 'CRISPR-KO'},
        },
        (70, 14584, 137, 17, 54),
    ),
    'l1000_litmus_pc3.gctx': (
        {
            'scale': 'z-score',
            'fields': {**LEVEL_5, 'context_name': 'PC3', 'perturbation': 'pert_desc'},
        },
        (346, 978, 757, 1, 346),
    ),
    'norman_2019_fitness/double_fitness.csv': (
        {
            'source': 'matrix',
            'scale': 'fitness',
            'singles': 'norman_2019_fitness/single_fitness.csv',
            'single': 'average_fitness',
            'fields': {'context_name': 'K562', 'perturbation_type': 'CRISPRa'},
        },
        (113 + 113 * 112 // 2, 1, 113 + 113 * 112 // 2, 1, 113),
    ),
    'norman_2019_fitness/single_fitness.csv': (
        {'source': 'wide', 'scale': 'fitness', 'fields': {'context_name': 'K562', 'perturbation': 'guide_target'}},
        (113, 2, 113, 1, 113),
    ),
    'lincs_p100_gcp': (PLATE, (288, 684, 863, 9, 288)),
    'readers/level3_lm_n5x978.gct': ({'scale': 'z-score', 'fields': LEVEL_3}, (2, 978, 5, 1, 2)),
    'readers/level3_lm_n5x978.gctx': ({'scale': 'z-score', 'fields': LEVEL_3}, (2, 978, 5, 1, 2)),
    'readers/level5_s2n_lm_n5x978.gct': ({'scale': 'z-score', 'fields': LEVEL_5}, (1, 978, 5, 1, 1)),
    'readers/level5_s2n_lm_n5x978.gctx': ({'scale': 'z-score', 'fields': LEVEL_5}, (1, 978, 5, 1, 1)),
    'readers/cell_viability_log2auc_n10x489.gctx': (
        {
            'scale': 'z-score',
            'fields': {
                'context_name': '24h', 'perturbation': 'pert_iname',
                'perturbation_type': 'Compound', 'readout': 'ccle_name',
            },
        },
        (10, 489, 10, 1, 10),
    ),
    'readers/norm_pert_n5x10.gctx': (
        {'scale': 'z-score', 'fields': {'context': '{index:_1}', 'perturbation': '{index::1}', 'separator': ''}},
        (5, 10, 5, 1, 5),
    ),
    'readers/anndata_v0.5.0.h5ad': (
        {'scale': 'z-score', 'fields': {**SYNTHETIC, 'perturbation': 'bulk_labels'}},
        (10, 765, 700, 1, 10),
    ),
    'readers/anndata_v0.7.8.h5ad': (
        {'scale': 'z-score', 'fields': {**SYNTHETIC, 'perturbation': 'obs_cat'}},
        (21, 20, 30, 1, 21),
    ),
}  # fmt: skip
# What is no screen, and why.
REFUSED = {'readers/anndata_v0.11.4.h5ad': 'there is no X; layers there are none'}
TABLES = {
    'annotations/reactome_pairs.csv': 22865,
    'annotations/humap_pairs.csv': 117076,
    'annotations/compound_targets.tsv': 3666,
}


def settings(shared, name):
    given, _ = SCREENS[name]
    source = {'source': name.rpartition('.')[2], **given, 'path': str(shared / name)}
    return source | ({'singles': str(shared / given['singles'])} if 'singles' in given else {})


def test_every_file_that_is_named_here_exists(shared):
    files = {str(path.relative_to(shared)) for path in shared.rglob('*')}
    assert {*SCREENS, *REFUSED, *TABLES} <= files


@pytest.mark.parametrize('name', SCREENS)
def test_every_screen_is_read_and_comes_back_when_saved(shared, name, tmp_path):
    compendium = load(settings(shared, name))
    _, expected = SCREENS[name]
    sizes = [
        (
            *screen.values.shape,
            screen.cells.sum(),
            len(screen.present_contexts),
            len(np.unique(screen.perturbation[screen.perturbation >= 0])),
        )
        for screen in compendium.screens
    ]
    assert tuple(np.sum(sizes, axis=0)) == expected
    assert all(np.isfinite(screen.values).any(axis=1).all() for screen in compendium.screens)
    back = load({'source': 'saved', 'path': write_screens(compendium, tmp_path)})
    assert back.fingerprint() == compendium.fingerprint()
    assert back.vocabulary == compendium.vocabulary
    for some, other in zip(compendium.screens, back.screens, strict=True):
        np.testing.assert_array_equal(some.halves, other.halves)
        np.testing.assert_array_equal(some.standard_error, other.standard_error)


@pytest.mark.parametrize('name', ['level3_lm_n5x978', 'level5_s2n_lm_n5x978'])
def test_twins_give_the_same_numbers(shared, name):
    text, binary = (load(settings(shared, f'readers/{name}.{ending}')) for ending in ('gct', 'gctx'))
    assert text.vocabulary == binary.vocabulary
    for array in ('values', 'context', 'perturbation', 'readout', 'cells'):
        some, other = (getattr(each.screens[0], array) for each in (text, binary))
        np.testing.assert_allclose(some, other, atol=0.51e-4)  # the text has four decimals


@pytest.mark.parametrize(('name', 'told'), REFUSED.items())
def test_what_is_no_screen_is_refused_with_the_reason(shared, name, told):
    with pytest.raises(InputError, match=f'{name}: .*{told}'):
        load({'source': 'h5ad', 'path': str(shared / name), 'scale': 'z-score', 'fields': {'context_name': 'a'}})


@pytest.mark.parametrize(('name', 'lines'), TABLES.items())
def test_tables_beside_screens(shared, name, lines):
    assert len(read_matrix(str(shared / name))) == lines
