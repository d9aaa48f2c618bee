"""LPM on LINCS 2020, level 5: unseen compounds or knock-outs of one cell line, seen in others.

    perturbjax --config=lpm_lincs:a549_crispr --workdir=/tmp/a549_crispr \
        --config.data.screens.compounds.path=level5_beta_trt_cp_n720216x12328.gctx \
        --config.data.screens.crispr.path=level5_beta_trt_xpr_n142901x12328.gctx

`siginfo_beta.txt` and `geneinfo_beta.txt` are expected in the folder of the launch; `TARGETS`
lists what may stand after the colon. The recipe is the released one (Miladinovic et al. 2025):
landmark genes, signatures of high quality, compounds at 10 uM and 24 h, replicates averaged. One
thing differs: batches are blocks of 10 profiles x 10 genes, which train about twice as fast and, on
generated screens, as well (benchmarks/RESULTS.md). `--config.training.block="(1, 1)"` draws single
observations.

Not run at full size, so there are no numbers to expect; tested on small files of the same form.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

TARGETS = {
    'ht29_compounds': 'HT29_compounds',
    'hela_compounds': 'HELA_compounds',
    'ha1e_compounds': 'HA1E_compounds',
    'mcf7_crispr': 'MCF7_crispr',
    'ht29_crispr': 'HT29_crispr',
    'a549_crispr': 'A549_crispr',
}


def get_config(target: str = 'a549_crispr') -> ml_collections.ConfigDict:
    """The config for one of `TARGETS`."""
    if target not in TARGETS:
        raise InputError(f'lpm_lincs.py: no such target {target!r}; {did_you_mean(target, TARGETS)}')
    config = ml_collections.ConfigDict()
    config.seed = 0
    compounds = {'is_hiq': 1, 'pert_type': 'trt_cp', 'pert_idose': '10 uM', 'pert_itime': '24 h'}
    knock_outs = {'is_hiq': 1, 'pert_type': 'trt_xpr'}
    config.data = {
        'screens': {
            'compounds': _screen('{cell_iname}_compounds', 'Compound', compounds),
            'crispr': _screen('{cell_iname}_crispr', 'CRISPR-KO', knock_outs),
        }
    }
    config.split = {'name': 'unseen_in_context', 'context': TARGETS[target], 'seeds': (13,)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'lpm_released': {'embedding_dim': 128, 'hidden_dims': (256, 256), 'dropout': 0.1},
    }
    config.training = {'learning_rate': 0.002, 'lr_decay': 0.97, 'batch_size': 1000, 'block': (10, 10), 'epochs': 50}
    return config


def _screen(context: str, kind: str, where: dict) -> dict:
    return {
        'source': 'gctx',
        'path': '',
        'scale': 'z-score',
        'siginfo': 'siginfo_beta.txt',
        'geneinfo': 'geneinfo_beta.txt',
        'fields': {
            'context': context,
            'perturbation': 'cmap_name',
            'separator': '',
            'perturbation_type': kind,
            'readout': 'gene_symbol',
            'where': where,
            'readout_where': {'feature_space': 'landmark'},
        },
    }
