import pytest

from perturbjax.errors import InputError
from perturbjax.readers.gene_graph import read_gene_graph


def written(folder, text, name='graph.csv'):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_edges_with_a_column_of_row_numbers(tmp_path):
    found = read_gene_graph(written(tmp_path, ',source,target,importance\n0,A,B,0.5\n1,B,B,1\n'))
    assert found.to_dict('list') == {'source': ['A', 'B'], 'target': ['B', 'B'], 'importance': [0.5, 1.0]}


def test_terms_of_genes_once_each(tmp_path):
    found = read_gene_graph(written(tmp_path, 'term\tgene\nGO:1\tA\nGO:2\tA\nGO:1\tA\n', 'terms.tsv'))
    assert found.to_dict('list') == {'gene': ['A', 'A'], 'set': ['GO:1', 'GO:2']}


def test_gene_sets(tmp_path):
    found = read_gene_graph(written(tmp_path, 'GO:1\tabout\tA\tB\n', 'sets.gmt'))
    assert list(zip(found['gene'], found['set'])) == [('A', 'GO:1'), ('B', 'GO:1')]


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('a,b\n1,2\n', r"columns 'source', 'target', 'importance', or 'gene', 'term'.*there are 'a', 'b'"),
        ('source,target,importance\nA,B,x\n', r"line 2: the importance 'x' is no number above 0"),
        ('source,target,importance\nA,A,1\nA,B,-1\n', r'line 3: the importance .*-1.* is no number above 0'),
        ('source,target,importance\nA,B,1\nA,B,2\n', '1 edges stand twice, such as A to B'),
        ('gene,term\nA,GO:1\n,GO:2\n', "line 3 has no name in 'gene', 'term'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_gene_graph(written(tmp_path, text))
