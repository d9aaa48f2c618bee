"""What `from perturbjax import ...` gives."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import perturbjax

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize('name', perturbjax.__all__)
def test_every_name_can_be_imported(name):
    assert getattr(perturbjax, name) is not None
    assert name in dir(perturbjax)


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / 'perturbjax' / '__init__.py').read_text())
    (seen,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = [alias.asname or alias.name for node in seen.body for alias in getattr(node, 'names', [])]
    assert sorted([*imported, '__version__']) == sorted(perturbjax.__all__)
    assert sorted(['__version__', *perturbjax._SURFACE]) == sorted(perturbjax.__all__)


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match='perturbjax.*no_such_name'):
        _ = perturbjax.no_such_name


def test_the_version_is_that_of_the_setup():
    assert f'version = {perturbjax.__version__}\n' in (ROOT / 'setup.cfg').read_text()


def test_importing_it_imports_nothing_heavy():
    code = 'import sys, perturbjax; print([name for name in ("jax", "anndata", "pandas") if name in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


def test_what_judges_and_draws_is_imported_where_it_is_used():
    names = '("matplotlib", "scipy.stats")'
    code = f'import sys, perturbjax.experiment; print([name for name in {names} if name in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


def test_the_reference_lists_every_name_and_room():
    pages = '\n'.join(path.read_text() for path in (ROOT / 'docs' / 'reference').glob('*.md'))
    listed = set(re.findall(r'\[`(\w+)`\]', pages))
    assert listed == set(perturbjax.__all__) - {'__version__'}
    rooms = {path.stem for path in (ROOT / 'perturbjax').iterdir() if path.name not in ('__init__.py', 'main.py')}
    described = set(re.findall(r'^::: perturbjax\.(\w+)$', pages, re.M))
    assert described == rooms - {'__pycache__', 'py'}
