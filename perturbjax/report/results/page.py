"""The page that says how well a run's predictions did."""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from perturbjax.evaluation.results import Results
from perturbjax.report.components import bullets, lead, nested, pairs
from perturbjax.report.page import document
from perturbjax.report.results import sections
from perturbjax.report.results.tables import definitions

_PACKAGES = ('perturbjax', 'jax', 'flax', 'optax', 'numpy', 'scipy', 'pandas', 'anndata', 'matplotlib')


def report_page(results: Results, config: Mapping[str, Any]) -> str:
    """Returns the page as HTML text.

    Args:
      results: the judged predictions.
      config: the settings of the run, nested as they are in the config.
    """
    parts = {
        'Notes': bullets(results.notes),
        'Scores': sections.scores(results),
        'Next to the simple rules': sections.comparison(results),
        'Beside published scores': sections.published(results),
        'Can these metrics be read here?': sections.controls(results),
        'Profile by profile': sections.profiles(results),
        'Predicted and observed changes': sections.predicted(results),
        'By number of readouts': sections.readouts(results),
        'Do predictions differ between perturbations?': sections.alike(results),
        'Do the intervals hold the truth?': sections.intervals(results),
        'Genetic interactions': sections.genetic_interactions(results),
        'Training': sections.training(results),
        'Ranks and ridges of the linear model': sections.linear_sweep(results),
        'What the metrics mean': [definitions(results.summary)],
        'Settings': [nested(config)],
        'Versions and seeds': [pairs(_origin(results, config))],
    }
    title = 'How well held-out perturbations were predicted'
    return document(title, [lead(results.verdict, results.run_facts)], parts)


def _origin(results: Results, config: Mapping[str, Any]) -> dict[str, str]:
    """The versions of packages, and the seeds."""
    splits = results.predictions.obs['split'].unique()
    seeds = {'Seed': str(config.get('seed', '-')), 'Seeds of the splits': ', '.join(map(str, splits))}
    return {'python': platform.python_version()} | {name: _version(name) for name in _PACKAGES} | seeds


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'
