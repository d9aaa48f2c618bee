"""One HTML page that says how the models did: it needs no network, no scripts and no other file.

Its figures are functions of the results, for notebooks too: `report.forest(results).figure`.
"""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from perturbjax.evaluation.results import Results
from perturbjax.evaluation.verdict import facts, notes
from perturbjax.report.elements import tag
from perturbjax.report.page import document, nested, pairs
from perturbjax.report.results import sections
from perturbjax.report.results.examples import changes
from perturbjax.report.results.figures import calibration, collapse, forest, strip
from perturbjax.report.results.lines import grid_curve, interaction_curve, readout_curve, training_curve
from perturbjax.report.results.tables import definitions

__all__ = [
    'calibration',
    'changes',
    'collapse',
    'facts',
    'forest',
    'grid_curve',
    'interaction_curve',
    'notes',
    'readout_curve',
    'report_page',
    'strip',
    'training_curve',
]
_PACKAGES = ('perturbjax', 'jax', 'flax', 'optax', 'numpy', 'scipy', 'pandas', 'anndata', 'matplotlib')


def report_page(results: Results, config: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
      results: all that is known of how the predictions did.
      config: the settings, nested as they are.
    """
    verdict = [tag('div', *(tag('p', each) for each in results.verdict), class_='verdict')] if results.verdict else []
    lead = tag('div', *verdict, pairs(results.facts), class_='lead')
    parts = {
        'Notes': [tag('ul', *(tag('li', each) for each in results.notes))] if results.notes else [],
        'Scores': sections.scores(results),
        'Next to the simple rules': sections.comparison(results),
        'Can these metrics be read here?': sections.controls(results),
        'Profile by profile': sections.profiles(results),
        'Predicted and observed changes': sections.predicted(results),
        'By number of readouts': sections.readouts(results),
        'Do predictions differ between perturbations?': sections.alike(results),
        'Genetic interactions': sections.genetic_interactions(results),
        'Training': sections.training(results),
        'Ranks and ridges of the linear model': sections.grid(results),
        'What the metrics mean': [definitions()],
        'Settings': [nested(config)],
        'Versions and seeds': [pairs(_origin(results, config))],
    }
    return document('How well held-out perturbations were predicted', [lead], parts)


def _origin(results: Results, config: Mapping[str, Any]) -> dict[str, str]:
    """Versions and seeds."""
    splits = results.predictions.obs['split'].unique()
    seeds = {'Seed': str(config.get('seed', '-')), 'Seeds of the splits': ', '.join(map(str, splits))}
    return {'python': platform.python_version()} | {name: _version(name) for name in _PACKAGES} | seeds


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'
