"""Embedding tables by name; nothing is downloaded: the files lie in the cache, as a user may save them by hand."""

import numpy as np
import pytest

from perturbjax.datasets import catalogue
from perturbjax.datasets.embeddings import TABLES, embedding_file, fetch_embedding
from perturbjax.errors import InputError
from perturbjax.readers.embedding_file import read_embedding


def saved(cache, name, *contents):
    (cache / name).mkdir(parents=True)
    for file, content in zip(TABLES[name].files, contents, strict=True):
        (cache / name / file.name).write_text(content)


def test_names_and_vectors_become_one_table(tmp_path):
    saved(tmp_path, 'string', 'TP53\nMYC\nA1BG\n', '1.5\t2\n3\t4\n-5\t0.5\n')
    path = fetch_embedding('string', str(tmp_path))
    assert path == embedding_file('string', str(tmp_path)) == str(tmp_path / 'string' / 'string.txt')
    names, vectors = read_embedding(path)
    assert names == ['TP53', 'MYC', 'A1BG']
    np.testing.assert_array_equal(vectors, [[1.5, 2], [3, 4], [-5, 0.5]])
    assert sorted(each.name for each in (tmp_path / 'string').iterdir() if each.suffix == '.txt') == [
        'string.txt', 'string_human_genes.txt', 'string_human_mashup_vectors_d800.txt',
    ]  # fmt: skip


def test_names_without_vectors_are_told(tmp_path):
    saved(tmp_path, 'string', 'TP53\nMYC\n', '1\t2\n')
    with pytest.raises(InputError, match='it has 1 lines for 2 names'):
        fetch_embedding('string', str(tmp_path))
    assert not (tmp_path / 'string' / 'string.txt').exists()


def test_a_table_of_one_file_is_read_as_it_is(tmp_path, capsys):
    saved(tmp_path, 'gene2vec', '2 3\nTP53 1 2 3\nMYC 4 5 6\n')
    assert catalogue.main(['fetch', 'gene2vec', f'--cache={tmp_path}']) == 0
    path = capsys.readouterr().out.strip()
    assert path == embedding_file('gene2vec', str(tmp_path))
    assert read_embedding(path)[0] == ['TP53', 'MYC']


def test_the_catalogue_lists_them(capsys):
    assert catalogue.main(['list']) == 0
    listed = capsys.readouterr().out
    assert catalogue.main(['list', 'reactome']) == 0
    assert 'https://reactome.org/download/current/ReactomePathways.gmt.zip' in capsys.readouterr().out
    assert all(f'\n{name} ' in listed for name in TABLES)


@pytest.mark.parametrize(
    ('ask', 'told'),
    [
        (lambda cache: embedding_file('reactome', cache), 'is not there; fetch it by python -m .* fetch reactome'),
        (lambda cache: embedding_file('strng', cache), "there is no table 'strng'; did you mean 'string'"),
        (lambda cache: catalogue.settings('string', cache), 'string is no screen but a table of embeddings'),
    ],
    ids=['not fetched', 'unknown', 'as a screen'],
)
def test_what_cannot_be_had_is_told(tmp_path, ask, told):
    with pytest.raises(InputError, match=told):
        ask(str(tmp_path))
