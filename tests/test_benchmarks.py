"""The benchmarks import only what is there; running them takes too long for a test, but for a part of one."""

import ast
import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'benchmarks'


def imported(path):
    """The (module, name) that a file imports from the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('perturbjax'):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_every_name_that_is_imported_exists(path):
    for module, name in imported(path):
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.import_module(f'{module}.{name}'), (module, name)


def test_accelerator_runs_and_a_section_without_budget_ends_after_a_case(tmp_path):
    arguments = ['--small', '--sections=rates,grid,streaming', '--budget=0', f'--out={tmp_path}']
    environment = {**os.environ, 'PYTHONPATH': str(FOLDER.parent), 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, str(FOLDER / 'accelerator.py'), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    sections = json.loads((tmp_path / 'results.json').read_text())['sections']
    assert list(sections) == ['rates', 'grid', 'streaming']
    for name, section in sections.items():
        assert len(section['rows']) == 1, name
        assert section['cut'].startswith('its budget of 0 s was spent after 1 cases'), section['cut']
    assert sections['grid']['rows'][0]['values_per_s'] > 0
    assert 'replogle, 2 x 8 x 20, float32' in done.stdout


def test_cells_are_trained_alone_where_the_released_packages_are_missing(tmp_path):
    sizes = [
        '--genes=40',
        '--perturbations=3',
        '--gears_cells=16',
        '--gears_batch=8',
        '--cpa_cells=24',
        '--cpa_batch=12',
    ]
    arguments = [*sizes, '--models=gears,cpa_game', '--rounds=1', f'--released_python={sys.executable}']
    environment = {**os.environ, 'PYTHONPATH': str(FOLDER.parent), 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, str(FOLDER / 'cells_training.py'), *arguments, f'--out={tmp_path}']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count('lacks a released package') == 2
    results = json.loads((tmp_path / 'results.json').read_text())['results']
    assert [each['model'] for each in results] == ['gears', 'cpa_game']
    for each in results:
        (first, turn) = each['answers']['perturbjax']
        assert first['compiling'] > turn['compiling']
        assert (turn['genes'], turn['cells']) == (40, {'gears': 16, 'cpa_game': 24}[each['model']])
        assert turn['seconds'] > 0
        assert turn['memory'] > 2**20
