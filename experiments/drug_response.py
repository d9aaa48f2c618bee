"""Drug response: how well is a table of drugs x cell lines filled in? One value for each drug in each line.

    perturbjax --config=drug_response:gdsc1 --workdir=/tmp/gdsc1 \
        --config.data.path=../shared/data/drug_response/gdsc1_auc.h5ad

The other screens are `gdsc2` (gdsc2_auc.h5ad), `nci60` (nci60_zscore_1075x60.h5ad) and `almanac`
(nci_almanac_comboscore_5355x60.h5ad). 15% of the measured entries are held out at random, five times; each
drug and each line keeps at least one. Contexts are cell lines; the rows of a file are drugs (ALMANAC: pairs of
drugs) and its columns are lines. What control would be is known by definition: an area under the curve of 1
(no effect), a ComboScore of 0 (no more than the two drugs alone would do). NCI-60's z-scores are of each drug
over the lines, so 0 is a drug's mean and `no_change` predicts just that.

`nci60` and `gdsc2` take 7 minutes on 2 CPU cores, which were busy, `gdsc1` 10 minutes; to look at the data
(`--mode=prepare`) takes 6 to 17 seconds and less than 0.7 GiB, though there are 970 lines. Expect these RMSEs: nci60
lpm 0.747, low_rank 0.766, context_mean 0.903, perturbation_mean 0.989; gdsc2 low_rank 0.0612, perturbation_mean
0.0943, context_mean 0.141; gdsc1 low_rank 0.0890, perturbation_mean 0.131, context_mean 0.189; almanac
perturbation_mean 52.5, low_rank and lpm 52.8, context_mean 65.3. All metrics: docs/benchmarks.md.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

AUC = {'response': 'AUC', 'scale': 'auc', 'control_value': 1.0}
# What the values of each screen are, and how its rows are named.
SCREENS = {
    'gdsc1': {**AUC, 'fields': {'perturbation': 'index', 'separator': ''}},
    'gdsc2': {**AUC, 'fields': {'perturbation': 'index', 'separator': ''}},
    'nci60': {'response': 'GI50', 'scale': 'z-score', 'fields': {'perturbation': 'NSC{index}', 'separator': ''}},
    'almanac': {
        'response': 'ComboScore',
        'scale': 'as-measured',
        'control_value': 0.0,
        'fields': {'perturbation': 'index'},
    },
}


def get_config(screen: str = 'gdsc1') -> ml_collections.ConfigDict:
    """The config for one of `SCREENS`."""
    if screen not in SCREENS:
        raise InputError(f'drug_response.py: no such screen {screen!r}; {did_you_mean(screen, SCREENS)}')
    config = ml_collections.ConfigDict()
    config.seed = 0
    settings = SCREENS[screen]
    fields = {**settings['fields'], 'perturbation_type': 'Compound'}
    config.data = {'source': 'h5ad', 'path': '', 'readouts_are': 'contexts', **settings, 'fields': fields}
    config.split = {'name': 'unseen_pairs', 'test': 0.15, 'seeds': (0, 1, 2, 3, 4)}
    config.models = {'context_mean': {}, 'perturbation_mean': {}, 'two_way': {}, 'low_rank': {}, 'lpm': {}}
    return config
