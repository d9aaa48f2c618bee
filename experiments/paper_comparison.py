"""The comparison of Ahlmann-Eltze et al. 2025 on one screen: rules, linear, LPM, GEARS, CPA, and who is missing.

    perturbjax --config=paper_comparison:norman:go_essential_all.csv --workdir=/tmp/norman \
        --config.data.path=norman/perturb_processed.h5ad
    perturbjax --config=paper_comparison:own --workdir=/tmp/own \
        --config.data.path=../shared/data/papalexi_2021.h5ad --config.data.fields.context=cell_line \
        --config.data.fields.control=non-targeting --config.data.counts=true

The other screens are `adamson`, `replogle_k562` and `replogle_rpe1`, as GEARS processed them; `own` is any h5ad file of
cells. After a second colon stands the graph that GEARS needs: a file of edges between genes or of their annotations.
Without one the run lacks GEARS, and the report says so, as it says why scGPT, scFoundation and the three decoders are
missing. What others predicted joins as one more model: `config.evaluation.predictions`. On the four published screens
the published scores of all methods stand beside those of the same perturbations.

As in the paper half of the pairs of Norman are held out, five times, and of single perturbations GEARS' split is made,
twice; of `own` a fifth of the single perturbations, three times. A tenth more validates: it chooses the epochs of GEARS
and CPA. CPA learns for at most 2,000 epochs, GEARS for 20. Of `own` CPA predicts the change from control: as released
it takes the panel for all genes, which screens of some genes do not bear.

Not run at full size on the paper's screens, so there are no numbers to expect there; docs/systems.md has what `own`
gave on two screens.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

_SINGLES = {'name': 'gears_simulation', 'seeds': (1, 2)}
# The perturbation type, what is held out, and the rules beyond those for every screen.
SCREENS = {
    'norman': (
        'CRISPRa',
        {'name': 'unseen_double', 'test': 0.5, 'validation': 0.1, 'seeds': (1, 2, 3, 4, 5)},
        ('additive',),
    ),
    'adamson': ('CRISPRi', _SINGLES, ()),
    'replogle_k562': ('CRISPRi', _SINGLES, ()),
    'replogle_rpe1': ('CRISPRi', _SINGLES, ()),
    'own': ('', {'name': 'unseen_single', 'test': 0.2, 'validation': 0.1, 'seeds': (0, 1, 2)}, ()),
}
LACKS = {
    'scgpt': 'its weights do not come with the package; with a folder of them, add the model scgpt; or give '
    'its predictions by evaluation.predictions.',
    'scfoundation': 'its weights are for research that is not commercial, and it needs 70 GPU hours a split; give its '
    'predictions by evaluation.predictions.',
    'uce, scbert, geneformer': 'they are ridge regressions on embeddings; with a file of these, add the model decoded.',
}
_NO_GRAPH = 'it needs a graph of genes, a file named after the screen: paper_comparison:SCREEN:FILE.'


def get_config(asked: str = 'norman') -> ml_collections.ConfigDict:
    """The config for one of `SCREENS`, and after a colon the file of GEARS' graph."""
    screen, _, graph = asked.partition(':')
    if screen not in SCREENS:
        raise InputError(f'paper_comparison.py: no such screen {screen!r}; {did_you_mean(screen, SCREENS)}')
    kind, split, rules = SCREENS[screen]
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {'source': 'h5ad', 'path': '', 'keep_cells': True, 'fields': {'perturbation_type': kind}}
    if screen == 'own':
        config.data.update({'scale': 'log1p', 'counts': False})
        config.data.fields.update({'context': '', 'perturbation': 'perturbation', 'control': 'control'})
    else:
        config.data.preset = 'gears'
    config.split = split
    config.models = {name: {} for name in (*rules, 'own_readout', 'two_way', 'low_rank', 'lpm')}
    config.models.linear = {'rank': 10, 'ridge': 0.1}
    config.models.cpa = {'epochs': 2000, 'batch_size': 2048}
    if screen == 'own':
        config.models.cpa.profile = 'change'
    if graph:
        config.models.gears = {'graph': graph, 'epochs': 20}
    config.evaluation = {'lacks': LACKS if graph else {'gears': _NO_GRAPH, **LACKS}}
    if screen != 'own':
        config.evaluation.published = screen
    return config
