"""What is known beforehand of files that many people have; a data config may set any of it otherwise."""

from typing import Any

# `fields` are settings of Fields; `counts` says whether the values are raw counts, `scale` what
# they are once rows have been averaged. What only the user knows is left out.
PRESETS: dict[str, dict[str, Any]] = {
    # NAME/perturb_processed.h5ad: condition is ctrl, A+ctrl, ctrl+A or A+B.
    'gears': {
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
        'fields': {
            'context': 'cell_line',
            'perturbation': 'perturbation',
            'control': ('control',),
            'separator': '_',
        },
        'counts': True,
        'scale': 'log1p',
    },
    # Replogle 2022, *_normalized_bulk_01.h5ad: the index of obs is id_gene_transcript_ensembl.
    # The file does not name its cell line: context_name is needed.
    'replogle_bulk': {
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
}
