"""The two commands: what they print and write, and their exit codes."""

import csv
import re

import pandas as pd
import pytest
from ledger_for_tests import EVIL, workdir_like

from perturbjax import ledger
from perturbjax.evaluation.tables import number
from perturbjax.ledger.__main__ import main


@pytest.fixture
def path(run, tmp_path):
    """A ledger of two runs on two splits."""
    path = tmp_path / 'ledger.sqlite'
    other = workdir_like(run, tmp_path / 'other', context='context2')
    assert main(['add', str(run), str(other), f'--ledger={path}']) == 0
    return path


def test_add_tells_what_it_did(path, run, capsys):
    capsys.readouterr()
    assert main(['add', str(run), f'--ledger={path}']) == 0
    assert capsys.readouterr().out == 'run: 4 models on screen1 take the place of what was there.\n'


def test_show_prints_a_table_and_notes(path, capsys):
    capsys.readouterr()
    assert main(['show', f'--ledger={path}']) == 0
    out = capsys.readouterr().out
    assert out.startswith('| model ')
    assert '| mean rank | screen1, context1' in out
    assert '| screen1, context2' in out
    row = ledger.read(path).query("model == 'mean' and metric == 'l2'").iloc[0]
    assert re.search(
        rf'\| mean +\| \d\.00 +\| {re.escape(number(row.anchored))} \[{re.escape(number(row.anchored_low))}, ', out
    )
    assert '- screen1 stands in 2 columns' in out
    assert str(path.parent) not in out


def test_show_takes_metric_models_and_screens(path, capsys):
    line = ['show', f'--ledger={path}', '--metric=mae', '--models', 'mean', 'perturbation_mean']
    assert main([*line, '--screens', 'screen1, context2']) == 0
    out = capsys.readouterr().out
    assert 'Anchored score by mae' in out
    assert 'over 1 column, among the 2 models' in out
    assert 'no_change' not in out


def test_show_writes_tables_and_page(path, tmp_path, capsys):
    out = tmp_path / 'deep' / 'out'
    assert main(['show', f'--ledger={path}', f'--out={out}']) == 0
    assert {each.name for each in out.iterdir()} == {'ledger.csv', 'ranks.csv', 'ledger.html'}
    kept = pd.read_csv(out / 'ledger.csv')
    assert list(kept) == list(ledger.read(path))
    assert len(kept) == len(ledger.read(path))
    best_first = kept.query("metric == 'l2' and model != 'permuted_labels'").sort_values('anchored', ascending=False)
    assert pd.read_csv(out / 'ranks.csv')['model'].tolist() == list(best_first['model'].unique())
    assert str(tmp_path) not in (out / 'ledger.html').read_text()
    assert capsys.readouterr().out.endswith(f'page: {out}/ledger.html\n')


def test_no_name_is_a_formula_in_a_table(run, tmp_path):
    models = dict(zip(['no_change', 'mean', 'perturbation_mean', 'permuted_labels'], EVIL, strict=True))
    folder, path = workdir_like(run, tmp_path / '=1+1', models), tmp_path / 'ledger.sqlite'
    assert main(['add', str(folder), f'--ledger={path}']) == 0
    assert main(['show', f'--ledger={path}', f'--out={tmp_path / "out"}']) == 0
    for name in ('ledger.csv', 'ranks.csv'):
        with (tmp_path / 'out' / name).open(newline='') as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert "'=cmd()" in cells
        assert not [cell for cell in cells if re.match(r'[=@\t\r]|[+-](?![\d.])', cell)]


@pytest.mark.parametrize(
    ('line', 'sentence'),
    [
        (['add', 'nowhere'], 'there is no such folder; give the workdir of a finished run.'),
        (['show', '--ledger=nothing.sqlite'], 'there is no such file; python -m perturbjax.ledger add makes it.'),
        (['show', '--metric=l22'], "the ledger has no metric 'l22'; did you mean 'l2'?"),
        (['show', '--out=ledger.sqlite'], 'File exists'),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(path, tmp_path, monkeypatch, capsys, line, sentence):
    monkeypatch.chdir(tmp_path)
    before = path.read_bytes()
    capsys.readouterr()
    assert main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith('perturbjax: ')
    assert sentence in error
    assert error.count('\n') == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize('line', [[], ['add'], ['drop'], ['show', '--no_such_flag']])
def test_a_line_that_is_no_command_ends_with_code_2(line):
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2
