"""What is known beforehand of files that many people have; a data config may set any of it otherwise."""

from collections.abc import Mapping
from typing import Any

from perturbjax.errors import InputError, did_you_mean

# The values of pert_type that mean control, of signatures and of their consensus.
LINCS_CONTROLS = tuple(f'ctl_{each}{end}' for each in ('vehicle', 'vector', 'untrt') for end in ('', '.cns'))

# `source` is the reader, `fields` are settings of Fields; `counts` says whether the values are raw
# counts, `scale` what they are once rows have been averaged. What only the user knows is left out.
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
    # scperturb.org: combinations are joined by _, which gene names hold too.
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
    # pertpy: the user names the columns; these are those of its data sets. Whether the values are
    # counts differs, so a scale is needed.
    'pertpy': {
        'source': 'h5ad',
        'fields': {
            'context': 'cell_line|cell_type|celltype',
            'perturbation': 'perturbation_name|perturbation',
            'control': ('control',),
        },
    },
    # CPA: A+B with doses 1.0+1.0; as for pertpy, a scale is needed.
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
    # The file does not name its cell line: context_name is needed.
    'replogle_bulk': {
        'source': 'h5ad',
        'fields': {
            'perturbation': '{index:_1}',
            'control': ('non-targeting',),
            'separator': '',
            'kind': 'CRISPRi',
            'readout': 'gene_name',
        },
        'counts': False,
        'scale': 'z-score',
    },
    # perturblib's cache: a folder of shards, or one table. The values are as the user had them made.
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
    # cell-eval: celltype is optional; without it context_name is needed.
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
    # openproblems, NeurIPS 2023: de_train.h5ad. The layer clipped_sign_log10_pval is another choice, on another scale.
    'openproblems': {
        'source': 'h5ad',
        'layer': 'logFC',
        'fields': {
            'context': 'cell_type',
            'perturbation': 'sm_name',
            'control': ('Dimethyl Sulfoxide',),
            'separator': '',
            'kind': 'Compound',
        },
        'counts': False,
        'scale': 'log-fold-change',
    },
}


def with_preset(preset: str = '', **settings: Any) -> dict[str, Any]:
    """The settings over those of the preset, where one is named.

    A context or context_name of the user's takes the place of either in the preset.
    """
    if not preset:
        return settings
    if str(preset) not in PRESETS:
        raise InputError(f'data.preset: no such preset {preset!r}; {did_you_mean(str(preset), PRESETS)}')
    known, fields = PRESETS[preset], settings.get('fields', {})
    if not isinstance(fields, Mapping):
        raise InputError(f'data.fields: {fields!r} is no settings; give names and values, or {{}}.')
    replaced = ('context', 'context_name') if {'context', 'context_name'} & set(fields) else ()
    kept = {name: value for name, value in known['fields'].items() if name not in replaced}
    return known | settings | {'fields': kept | dict(fields)}
