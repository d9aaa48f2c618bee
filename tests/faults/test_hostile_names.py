"""Names that were made to do harm go through every stage: in each output they are names and nothing else."""

import csv
import html.parser
import json
import pathlib
import re
from xml.etree import ElementTree

import anndata
import numpy as np
import pandas as pd
import pytest
from etils import epath
from faults.small import get_config
from faults_for_tests import outcome

from perturbjax import experiment, workdir
from perturbjax.analysis.whatif import draw
from perturbjax.readers.naming.spelling import clean
from perturbjax.readers.table import screen_name

NAMES = (
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    ']]>',
    '-->',
    '&amp;',
    '</title><b>',
    '</style><svg/onload=alert(1)>',
    '=cmd|calc',
    '@SUM(A1)',
    '../../outside',
    '/etc/outside',
    '..',
    '.',
    'a/b',
    'C:\\outside',
    'a\nb',
    'c\r\nd',
    'tab\there',
    'bell\x07',
    'red\x1b[31m',
    'nul\0',
    'gone\x7f',
    'not\ufffe\uffffone',
    '\u202egnp.exe',
    'l' * 3000,
    'é' * 300,
    '$x^2$',
    r'\frac{$',
    '%s%n{0}',
    "it's",
    'a,b;c',
    '*?[x]',
    '~',
    '$HOME',
    '_',
    '\U0001f600',
)
LABEL = '<i>=lpm'


def test_control_characters_are_no_part_of_a_name():
    assert clean('a\0b\x07\x1b[31m\x7f\x9b\ud800\ufffec\uffff') == 'ab[31mc'
    assert clean('a\r\n\tb\x1fc\u2028d') == 'a b c d'
    assert clean(' \U0001f600\u202eé ') == '\U0001f600\u202eé'
    assert screen_name('/x/a\x1b\udcff.csv.gz') == 'a'


def test_no_head_of_a_table_is_a_formula(tmp_path):
    workdir.write_table(epath.Path(tmp_path) / 'a.csv', pd.DataFrame({'=cmd|x': ['a'], '+1+A1': [1.0], '-1': [2]}))
    assert (tmp_path / 'a.csv').read_text().splitlines()[0] == "'=cmd|x,'+1+A1,-1"


def test_a_figure_draws_names_as_they_are(tmp_path):
    shown = sorted({clean(each) for each in NAMES})
    table = pd.DataFrame({'perturbation': shown, 'change': 0.5, 'spread': 0.1, 'measured': 'x'})
    path = epath.Path(tmp_path) / 'a.svg'
    workdir.write_figure(path, draw(table.assign(readout='$y$', context='<script>')).figure)
    tree = ElementTree.fromstring(path.read_text())
    assert not [each for each in tree.iter() if each.tag.endswith('script')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with the screen, and deeper in it the workdir with all outputs."""
    folder = tmp_path_factory.mktemp('names')
    rng, path = np.random.default_rng(0), folder / 'a.csv'
    rows = [(c, p, *rng.normal(size=len(NAMES))) for c in ('plain', *NAMES) for p in ('control', *NAMES)]
    pd.DataFrame(rows, columns=['context', 'perturbation', *NAMES]).to_csv(path, index=False)
    config = get_config('1')
    fields = {'context': 'context', 'perturbation': 'perturbation'}
    config.data = {'source': 'wide', 'path': str(path), 'scale': 'log-fold-change', 'fields': fields}
    config.split = {'name': 'unseen_in_context', 'context': clean(NAMES[0]), 'seeds': (13,)}
    config.models = {LABEL: dict(config.models['lpm'])}
    config.analysis = {'what_if': [{'context': clean(name), 'readout': clean(name)} for name in NAMES[:3]]}
    for mode in ('prepare', 'run', 'grid', 'export'):
        assert outcome(experiment.run, config, str(folder / 'deep' / 'run'), mode)[1] == ''
    return folder


class Page(html.parser.HTMLParser):
    """Which elements a page has, and every attribute."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(attrs)


@pytest.mark.campaign
def test_no_file_is_written_elsewhere(folder):
    written = [each for each in folder.rglob('*') if each.is_file() and folder / 'deep' / 'run' not in each.parents]
    assert written == [folder / 'a.csv']
    assert all(len(each.name) < 200 and each.name.isprintable() for each in folder.rglob('*'))


@pytest.mark.campaign
def test_no_name_is_code_in_a_page_or_figure(folder):
    pages = [*folder.rglob('*.html'), *folder.rglob('*.svg')]
    assert len(pages) == 5
    for path in pages:
        page = Page(path.read_text())
        assert not page.tags & {'script', 'img', 'iframe', 'object', 'embed', 'link', 'i'}, path
        assert not [name for name in page.attributes if name.startswith('on')], path
        links = [value or '' for value in page.attributes.values()]
        assert not [each for each in links if re.match(r'\s*(javascript|data:(?!image/png))', each)], path


@pytest.mark.campaign
def test_no_cell_of_a_workdir_is_a_formula(folder):
    tables = [*(folder / 'deep' / 'run').glob('*.csv'), *(folder / 'deep' / 'run').glob('analysis/*.csv')]
    assert len(tables) > 4
    for path in tables:
        with path.open(newline='') as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if re.match(r'[=@\t\r]|[+-](?![\d.])', cell)], path
        assert not [cell for cell in cells if re.search(r'[\0-\x1f\x7f]', cell)], path


@pytest.mark.campaign
def test_names_are_read_back_as_they_are(folder):
    run, names = folder / 'deep' / 'run', {clean(each) for each in NAMES}
    for path in ('predictions.h5ad', 'grid.h5ad', f'exported/{LABEL}/cell_eval/pred.h5ad'):
        assert set(anndata.read_h5ad(run / path).var_names) == names, path
    vocabulary = json.loads((run / 'vocabulary.json').read_text())
    assert {name for each in vocabulary.values() for name in each} == names | {'plain', 'control'}
    assert pathlib.Path(run / 'checkpoints' / LABEL / '13').is_dir()
