"""Rows of a ledger made by hand, the config of one small run, and finished workdirs made of its files."""

import json
import re

import ml_collections
import pandas as pd

from perturbjax.ledger.runs import COLUMNS

EVIL = ('<b>bold</b>', '=cmd()', 'a|b', 'NA')
_ROW = {
    'workdir': 'run', 'screen': 'norman', 'split': 'unseen_double', 'contexts': 'K562',
    'config_hash': 'c1', 'data_hash': 'd1', 'split_hash': 's1',
    'evaluated': '2026-01-01 10:00 UTC', 'perturbjax': '0.1.0', 'jax': '0.10.2', 'python': '3.12.1',
    'profiles': 62, 'model': 'lpm', 'metric': 'l2', 'value': 2.0, 'low': 1.5, 'high': 2.5,
    'anchored': 0.5, 'anchored_low': 0.4, 'anchored_high': 0.6, 'anchor': 'repeat',
    'coverage': 1.0, 'perturbations': 62, 'splits': 1,
}  # fmt: skip


def small_config():
    """Simulated screens and simple rules alone."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'simulation', 'contexts': 3, 'panels': 1, 'targets': 20, 'readouts': 24, 'programs': 3, 'cells': 6
    }  # fmt: skip
    config.split = {'name': 'unseen_in_context', 'context': 'context1', 'test': 0.5, 'seeds': (13, 14)}
    config.models = {'perturbation_mean': {}}
    config.evaluation = {'bootstrap_samples': 50}
    return config


def frame(*rows):
    """Rows of a ledger; what a row does not say is as in `_ROW`, and a screen is its own data."""
    full = [_ROW | ({'data_hash': f'd {row["screen"]}'} if 'screen' in row else {}) | row for row in rows]
    return pd.DataFrame(full, columns=list(COLUMNS)).astype(COLUMNS)


def board_of(scores):
    """Rows for a table of anchored scores, `{screen: {model: score}}`; None stands for a metric not calibrated."""
    rows = []
    for screen, by_model in scores.items():
        for model, score in by_model.items():
            low, high = (None, None) if score is None else (score - 0.1, score + 0.1)
            rows.append(
                {'screen': screen, 'model': model, 'anchored': score, 'anchored_low': low, 'anchored_high': high}
            )
    return frame(*rows)


def workdir_like(run, folder, models=None, context=None, epochs=None, evaluated=None):
    """A finished workdir with the files of `run`; what is given is changed in it."""
    folder.mkdir(parents=True)
    texts = {
        name: (run / name).read_text()
        for name in ('config.json', 'data.json', 'split.json', 'summary.csv', 'report.html')
    }
    if models:
        for old, new in models.items():
            texts['summary.csv'] = re.sub(f'^{old},', f'{new},', texts['summary.csv'], flags=re.MULTILINE)
    if context:
        texts['split.json'] = texts['split.json'].replace('context1', context)
    if epochs:
        texts['config.json'] = json.dumps(json.loads(texts['config.json']) | {'training': {'epochs': epochs}})
    if evaluated:
        texts['report.html'] = re.sub(r'(<dt>Evaluated</dt><dd>)[^<]*', rf'\g<1>{evaluated}', texts['report.html'])
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder
