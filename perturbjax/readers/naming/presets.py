"""Settings for files that many people have; a config may override any of them."""

from collections.abc import Mapping
from typing import Any

from perturbjax.errors import InputError, did_you_mean

# The values of pert_type that mean control, of signatures and of their consensus.
LINCS_CONTROLS = tuple(f'ctl_{each}{end}' for each in ('vehicle', 'vector', 'untrt') for end in ('', '.cns'))

# `source` is the reader, `fields` are settings of Fields, `counts` says whether the values are raw
# counts, and `scale` is what they mean once rows are averaged. What only the user knows is left out.
PRESETS: dict[str, dict[str, Any]] = {
    # NAME/perturb_processed.h5ad: condition is ctrl, A+ctrl, ctrl+A or A+B.
    'gears': {
        'source': 'h5ad',
        'fields': {
            'context': 'cell_type',
            'perturbation': 'condition',
            'control': ('ctrl',),
            'readout': 'gene_name',
        },
        'counts': False,
        'scale': 'log1p',
    },
    # scperturb.org: combinations are joined by _, which gene names contain too.
    'scperturb': {
        'source': 'h5ad',
        'fields': {
            'context': 'cell_line|celltype',
            'perturbation': 'perturbation',
            'control': ('control',),
            'separator': '_',
        },
        'counts': True,
        'scale': 'log1p',
    },
    # pertpy: its users name the columns; these are the columns of its own data sets. The values may or
    # may not be counts, so the user gives the scale.
    'pertpy': {
        'source': 'h5ad',
        'fields': {
            'context': 'cell_line|cell_type|celltype',
            'perturbation': 'perturbation_name|perturbation',
            'control': ('control',),
        },
    },
    # CPA: A+B with doses 1.0+1.0; as for pertpy, the user gives the scale.
    'cpa': {
        'source': 'h5ad',
        'fields': {
            'context': 'cell_type|cell_line',
            'perturbation': 'cond_harm|condition|condition_ID',
            'control': ('ctrl', 'control'),
            'dose': 'dose_value|dose_val|dose',
        },
    },
    # Replogle 2022, *_normalized_bulk_01.h5ad: the index of obs is id_gene_transcript_ensembl.
    # The file does not name its cell line, so the user gives context_name.
    'replogle_bulk': {
        'source': 'h5ad',
        'fields': {
            'perturbation': '{index:_1}',
            'control': ('non-targeting',),
            'separator': '',
            'perturbation_type': 'CRISPRi',
            'readout': 'gene_name',
        },
        'counts': False,
        'scale': 'z-score',
    },
    # perturblib's cache: a folder of shards, or one table. The scale depends on how the user made it.
    'perturblib': {
        'source': 'perturblib',
        'fields': {
            'context': 'context',
            'perturbation': 'perturbation',
            'control': ('Control',),
            'readout': 'readout',
        },
        'counts': False,
    },
    # clue.io, 2020: level5_beta_*.gctx, with siginfo_beta.txt as siginfo and geneinfo_beta.txt as geneinfo.
    'lincs_2020': {
        'source': 'gctx',
        'fields': {
            'context': 'cell_iname',
            'perturbation': 'cmap_name',
            'control': LINCS_CONTROLS,
            'control_column': 'pert_type',
            'separator': '',
            'dose': 'pert_idose',
            'readout': 'gene_symbol',
            'readout_where': {'feature_space': 'landmark'},
        },
        'counts': False,
        'scale': 'z-score',
    },
    # GSE92742 and GSE70138, 2017: GSE*_Level5_*.gctx, with *_sig_info.txt (and *_sig_metrics.txt, which has
    # distil_cc_q75) as siginfo and *_gene_info.txt as geneinfo.
    'lincs_2017': {
        'source': 'gctx',
        'fields': {
            'context': 'cell_id',
            'perturbation': 'pert_iname',
            'control': LINCS_CONTROLS,
            'control_column': 'pert_type',
            'separator': '',
            'dose': 'pert_idose',
            'readout': 'pr_gene_symbol',
            'readout_where': {'pr_is_lm': 1},
        },
        'counts': False,
        'scale': 'z-score',
    },
    # cell-eval: the column celltype is optional; without it the user gives context_name.
    'cell_eval': {
        'source': 'h5ad',
        'fields': {
            'context': 'celltype',
            'perturbation': 'target_gene|target',
            'control': ('non-targeting',),
        },
        'counts': False,
        'scale': 'log1p',
    },
    # openproblems, NeurIPS 2023: de_train.h5ad. Its layer clipped_sign_log10_pval has another scale.
    'openproblems': {
        'source': 'h5ad',
        'layer': 'logFC',
        'fields': {
            'context': 'cell_type',
            'perturbation': 'sm_name',
            'control': ('Dimethyl Sulfoxide',),
            'separator': '',
            'perturbation_type': 'Compound',
        },
        'counts': False,
        'scale': 'log-fold-change',
    },
}


def with_preset(preset: str = '', **settings: Any) -> dict[str, Any]:
    """The settings, completed by those of the preset where one is named.

    A context or context_name in the settings replaces both of them in the preset.
    """
    if not preset:
        return settings
    if str(preset) not in PRESETS:
        raise InputError(f'data.preset: no such preset {preset!r}; {did_you_mean(str(preset), PRESETS)}')
    known, fields = PRESETS[preset], settings.get('fields', {})
    if not isinstance(fields, Mapping):
        raise InputError(f'data.fields: expected a mapping of setting names to values, got {fields!r}.')
    replaced = ('context', 'context_name') if {'context', 'context_name'} & set(fields) else ()
    kept = {name: value for name, value in known['fields'].items() if name not in replaced}
    return known | settings | {'fields': kept | dict(fields)}
