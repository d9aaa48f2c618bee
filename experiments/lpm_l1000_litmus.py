"""LPM on an L1000 screen of PC3: 340 knock-downs x 978 genes. Do genes of one complex or pathway lie together?

    perturbjax --config=lpm_l1000_litmus --workdir=/tmp/litmus \
        --config.data.path=../shared/data/l1000_litmus_pc3.gctx \
        --config.analysis.pairs.humap.path=../shared/data/annotations/humap_pairs.csv \
        --config.analysis.pairs.reactome.path=../shared/data/annotations/reactome_pairs.csv

There is one context, so nothing is transferred. The question is whether the embeddings of readouts
know which genes work together; three seeds are aligned. Weight decay is 0.3: with the released 0.01
the embeddings know nothing, see docs/embeddings.md.

Ten minutes on 2 CPU cores. Expect these AUROCs: HuMAP complexes 0.608 (raw profiles 0.597),
Reactome pathways 0.572 (raw profiles 0.559).
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'gctx',
        'path': '',
        'scale': 'z-score',
        'fields': {
            'context': '{cell_id}_{exp_pert_time}h',
            'perturbation': 'pert_desc',
            'separator': '',
            'control': ('EMPTY', 'pgw', 'GFP', 'LUCIFERASE', 'lacZ', 'RFP'),
            'perturbation_type': 'RNAi',
            'readout': 'pr_gene_symbol',
        },
    }
    config.split = {'name': 'unseen_single', 'test': 0.01, 'seeds': (13, 14, 15)}
    config.models = {'lpm': {'model': 'lpm_released', 'embedding_dim': 32, 'hidden_dims': (128, 128)}}
    config.training = {
        'learning_rate': 0.002,
        'lr_decay': 0.97,
        'weight_decay': 0.3,
        'batch_size': 1000,
        'epochs': 30,
        'checkpoint_every': 30,
    }
    config.analysis = {
        'pairs': {
            'humap': {'path': '', 'axis': 'readout'},
            'reactome': {'path': '', 'axis': 'readout'},
        }
    }
    return config
