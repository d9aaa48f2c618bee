"""Imports point one way, down the list of rooms in CONTRIBUTING.md."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
# These may be imported from everywhere, and import no room.
FREE = (
    'errors',
    'workdir',
    'progress',
    'renames',
    'plain',
    'paths',
    'lock',
    'experiment_files',
    'compilation',
    'mapped_layers',
)


def rooms():
    """The rooms in order: what comes later knows nothing of what comes before."""
    tree = (ROOT / 'CONTRIBUTING.md').read_text().split('    perturbjax/\n')[1].split('    experiments/')[0]
    return re.findall(r'^      (\w+)', tree, re.M)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == 'perturbjax':
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith('perturbjax.'):
            yield node.module.split('.')[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split('.')[1] for alias in node.names if alias.name.startswith('perturbjax.'))


def test_imports_point_one_way():
    package, order = ROOT / 'perturbjax', rooms()
    wrong = []
    for path in package.rglob('*.py'):
        room = path.relative_to(package).parts[0].removesuffix('.py')
        if room != '__init__':
            known = order[order.index(room) :] if room in order else []
            wrong += [f'{path}: {name}' for name in imports(path) if name not in (*known, *FREE)]
    assert not wrong


def test_every_room_has_its_place():
    found = {
        path.stem for path in (ROOT / 'perturbjax').iterdir() if path.suffix == '.py' or (path / '__init__.py').exists()
    }
    assert found - {'__init__'} == {*rooms(), *FREE}
