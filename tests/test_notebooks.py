"""The notebooks run from top to bottom on the smallest settings, and are stored clean."""

import importlib.util
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from experiments import quickstart

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')
pytest.importorskip('ipykernel')

FOLDER = pathlib.Path(__file__).parents[1] / 'notebooks'
NAMES = sorted(path.stem for path in FOLDER.glob('*.ipynb'))
SIZE = {'targets': 10, 'readouts': 24, 'programs': 3, 'cells': 6}
MIXED = SIZE | {'compounds': 4, 'doubles': 4}
RULES = {'no_change', 'mean', 'context_mean', 'perturbation_mean'}
# What may stand in stderr: progress bars, and that Orbax waited for a slow disk.
HARMLESS = r'(lpm|lpm_released|network), split \d+: |.*Waiting for previous save'


class Shown(NamedTuple):
    """What the cells of a notebook put out."""

    install: list
    printed: str
    errors: list[str]
    tables: list[str]
    figures: list[str]
    texts: list[str]


def shown_by(book):
    cells = [cell for cell in book.cells if cell.cell_type == 'code']
    outputs = [output for cell in cells for output in cell.outputs]
    text = {'stdout': '', 'stderr': ''}
    for output in outputs:
        if output.output_type == 'stream':
            text[output.name] += output.text
    errors = [line for line in re.split(r'[\r\n]+', text['stderr']) if line.strip() and not re.match(HARMLESS, line)]
    data = [output.data for output in outputs if 'data' in output]
    rich = [[each[kind] for each in data if kind in each] for kind in ('text/html', 'image/png')]
    plain = [each['text/plain'] for each in data if set(each) == {'text/plain'}]
    return Shown(cells[0].outputs, text['stdout'], errors, *rich, plain)


def stored(name):
    return nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)


def place_of_settings(book):
    """Where the one cell stands that says how much is computed."""
    (place,) = [place for place, cell in enumerate(book.cells) if 'parameters' in cell.metadata.get('tags', [])]
    return place


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in a folder of its own, with further settings, and checks what all have in common."""
    for variable in ('IPYTHONDIR', 'JUPYTER_RUNTIME_DIR', 'TMPDIR'):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')

    def execute(name, settings, tables, figures):
        book = stored(name)
        book.cells.insert(place_of_settings(book) + 1, nbformat.v4.new_code_cell(settings))
        resources = {'metadata': {'path': str(tmp_path)}}
        nbclient.NotebookClient(book, timeout=300, kernel_name='python3', resources=resources).execute()
        shown = shown_by(book)
        assert not shown.install
        assert not shown.errors
        assert not shown.texts  # a figure or a table that is shown as mere text
        assert (len(shown.tables), len(shown.figures)) == (tables, figures)
        assert all(len(figure) > 4000 for figure in shown.figures)
        return shown

    return execute


def headings(table):
    """Those of a table's rows and columns."""
    return set(re.findall(r'<th[^>]*>([^<]+)</th>', table))


def judged(model, printed):
    """Whether the verdict has a sentence on the model; of a small run it may say that too few are held out."""
    return f'{model} beats the best simple rule on ' in printed or f'{model}: too few perturbations ' in printed


def test_quickstart(run):
    settings = f"""
config.data = {{'source': 'simulation', 'contexts': 12, **{MIXED}}}
config.training = {{'epochs': 2}}
config.models.lpm_released.training.update(epochs=2, patience=0)
config.evaluation.bootstrap_samples = 50
"""
    shown = run('01_quickstart', settings, tables=1, figures=2)
    assert judged('lpm', shown.printed)
    assert 'report.html' in shown.printed
    assert headings(shown.tables[0]) >= RULES | {'additive', 'linear', 'linear_transfer', 'lpm', 'ratio', 'coverage'}


def test_the_quickstart_has_the_settings_of_the_experiment():
    book, found = stored('01_quickstart'), {}
    exec(book.cells[place_of_settings(book)].source, found)
    assert found['config'].to_dict() == quickstart.get_config().to_dict()


def test_your_own_screen(run):
    settings = f"SIZE = {{'contexts': 3, **{SIZE}}}\nEPOCHS, BOOTSTRAP_SAMPLES = 2, 50"
    shown = run('02_your_own_screen', settings, tables=3, figures=1)
    assert "data.fields.context: there is no column 'cell_lines'; there are 'cell_line', 'guide'" in shown.printed
    assert judged('lpm', shown.printed)
    assert 'report.html: ' in shown.printed
    cells, profiles, scores = map(headings, shown.tables)
    assert cells >= {'cell_line', 'guide'}
    assert profiles >= {'controls', 'knock-downs', 'context1'}
    assert scores >= RULES | {'lpm', 'l2', 'pearson_delta'}


def test_lpm_embeddings(run):
    settings = f"""
SIMULATION = {{'contexts': 3, **{MIXED}}}
LPM, EPOCHS = {{'model': 'lpm_released', 'embedding_dim': 4, 'hidden_dims': (8,)}}, 2
"""
    with_scanpy = importlib.util.find_spec('scanpy') is not None
    shown = run('03_lpm_embeddings', settings, tables=4, figures=2 + with_scanpy)
    assert ('%pip install scanpy' in shown.printed) != with_scanpy
    agreement, near, recall, changes = shown.tables
    assert headings(agreement) >= {'value', 'null', 'p', 'seeds'}
    assert near.count('Compound_compound1-10uM') >= 5
    assert {'lpm', 'profiles', 'recall@1', 'auroc'} <= set(re.findall(r'<td>([^<]+)</td>', recall))
    assert 'in training' in changes


def test_double_perturbations(run):
    settings = f"""
SIMULATION = {{'contexts': 2, 'panels': 1, 'compounds': 0, 'doubles': 40, **{SIZE | {'readouts': 40, 'cells': 60}}}}
EPOCHS, BOOTSTRAP_SAMPLES = 2, 50
"""
    shown = run('04_double_perturbations_and_interactions', settings, tables=4, figures=2)
    counts, calls, truth, ranking = map(headings, shown.tables)
    assert counts >= {'called', 'buffering', 'synergistic', 'opposite'}
    assert calls >= {'readout', 'interaction', 'fdr'}
    assert truth >= {'in truth the pair is', 'called'}
    assert truth & {'adds up', 'buffering', 'synergistic'}
    assert ranking >= {'no_change', 'additive', 'linear', 'lpm', 'auprc'}


def test_benchmark_a_new_model(run):
    settings = f"SIMULATION = {{'contexts': 3, 'panels': 1, **{MIXED}}}\nEPOCHS, BOOTSTRAP_SAMPLES = 2, 50"
    shown = run('05_benchmark_a_new_model', settings, tables=3, figures=1)
    assert judged('shrunken', shown.printed)
    assert judged('network', shown.printed)
    theirs, scores, comparison = map(headings, shown.tables)
    assert theirs >= {'condition', 'context'}
    assert scores >= RULES | {'shrunken', 'network', 'other_tool', 'linear'}
    assert comparison >= {'shrunken', 'network', 'other_tool', 'baseline', 'p_value', 'coverage'}


def test_compare_runs(run):
    settings = f"SIMULATION, BOOTSTRAP_SAMPLES = {{'contexts': 3, 'panels': 1, **{SIZE | {'targets': 20}}}}, 50"
    shown = run('06_compare_runs', settings, tables=2, figures=1)
    assert 'later: 5 models on screen1 were added.' in shown.printed
    assert '| model             | mean rank | screen1, context1' in shown.printed
    assert '/tmp' not in shown.printed
    assert 'Without a rank, for want of a score on every column that counts: two_way (not run on' in shown.printed
    rows, ranks = map(headings, shown.tables)
    assert rows >= {'workdir', 'screen', 'anchored', 'coverage'}
    assert ranks >= {'model', 'mean_rank', 'screens'}


@pytest.mark.parametrize('name', NAMES)
def test_stored_clean(name):
    book = stored(name)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == 'code']
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert book.cells[0].source.startswith('# ')
    assert book.metadata.kernelspec.name == 'python3'


def test_all_are_installed_by_the_same_cell():
    cells = {next(cell.source for cell in stored(name).cells if cell.cell_type == 'code') for name in NAMES}
    (source,) = cells
    assert len(re.findall('%pip', source)) == 1
    assert len(NAMES) == 6


def test_lint():
    pytest.importorskip('ruff')
    for command in (['check'], ['format', '--check']):
        lint = subprocess.run(
            [sys.executable, '-m', 'ruff', *command, str(FOLDER)], capture_output=True, text=True, check=False
        )
        assert lint.returncode == 0, lint.stdout
