"""The benchmarks import only what is there; running them takes too long for a test."""

import ast
import importlib
import pathlib

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
