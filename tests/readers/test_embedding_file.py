"""Embedding files in the forms in which they are published, each written by hand."""

import gzip
import zipfile

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perturbjax.errors import InputError
from perturbjax.readers import embedding_file
from perturbjax.readers.embedding_file import read_embedding

# Three genes with two numbers each.
FORMS = {
    'a column for each name': ('e.tsv', 'TP53\tNFKB\t7SK\n0.5\t1\t-3\n2\t1e-3\t4\n'),
    'the same below row names': ('e.tsv', '\tTP53\tNFKB\t7SK\nd1\t0.5\t1\t-3\nd2\t2\t1e-3\t4\n'),
    'a line for each name': ('e.csv', 'gene,d1,d2\nTP53,0.5,2\nNFKB,1,1e-3\n7SK,-3,4\n'),
    'its columns counted': ('e.csv', 'gene,0,1\nTP53,0.5,2\nNFKB,1,1e-3\n7SK,-3,4\n'),
    'no header': ('e.csv', 'TP53,0.5,2\nNFKB,1,1e-3\n7SK,-3,4\n'),
    'no header, tabs': ('e.txt', 'TP53\t0.5\t2\nNFKB\t1\t1e-3\n7SK\t-3\t4\n'),
    'no header, spaces': ('e.txt', 'TP53 0.5 2\nNFKB 1 1e-3\n7SK -3 4\n'),
    "word2vec's text, as Gene2Vec ends its lines": ('e.txt', '3 2\nTP53 0.5 2 \nNFKB 1 1e-3 \n7SK -3 4 \n'),
}


def written(folder, name, text):
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_same_names_and_vectors(tmp_path, form):
    names, vectors = read_embedding(written(tmp_path, *FORMS[form]))
    assert names == ['TP53', 'NFKB', '7SK']
    np.testing.assert_array_equal(vectors, [[0.5, 2], [1, 1e-3], [-3, 4]])


def test_compressed_and_parquet_files_have_the_same_forms(tmp_path):
    name, text = FORMS["word2vec's text, as Gene2Vec ends its lines"]
    with gzip.open(tmp_path / f'{name}.gz', 'wt') as file:
        file.write(text)
    expected = read_embedding(str(tmp_path / f'{name}.gz'))
    assert expected[0] == ['TP53', 'NFKB', '7SK']
    pytest.importorskip('pyarrow')
    table = pd.DataFrame(expected[1], columns=['a', 'b'])
    table.insert(0, 'gene', expected[0])
    table.to_parquet(tmp_path / 'e.parquet')
    names, vectors = read_embedding(str(tmp_path / 'e.parquet'))
    assert names == expected[0]
    np.testing.assert_array_equal(vectors, expected[1])


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix])
def test_an_h5ad_has_a_row_for_each_name(tmp_path, form):
    values = np.array([[1.0, 2.0], [0.0, 4.0]], np.float32)
    data = anndata.AnnData(form(values), obs=pd.DataFrame(index=['KLF1', 'GATA1']))
    data.write_h5ad(tmp_path / 'vectors.h5ad')
    names, vectors = read_embedding(str(tmp_path / 'vectors.h5ad'))
    assert names == ['KLF1', 'GATA1']
    np.testing.assert_array_equal(vectors, values)


def test_an_h5ad_without_vectors_is_told(tmp_path):
    anndata.AnnData(obs=pd.DataFrame(index=['KLF1'])).write_h5ad(tmp_path / 'none.h5ad')
    with pytest.raises(InputError, match=r'none.h5ad: it has no X, which holds the vector of each name'):
        read_embedding(str(tmp_path / 'none.h5ad'))


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('1017\t1019\n1\t2\n3\t4\n', ['1017', '1019']),  # no sizes of word2vec: a line has two values, not 1020
        ('TP53\t1017\n1\t2\n3\t4\n', ['TP53', '1017']),  # the second line begins with a number
        ('NA\t3\t4\nnull\t5\t6\n', ['NA', 'null']),  # pandas takes them for missing values
    ],
)
def test_names_that_look_like_something_else(tmp_path, text, names):
    assert read_embedding(written(tmp_path, 'e.tsv', text))[0] == names


@pytest.mark.parametrize('packed', [False, True])
def test_gene_sets_give_a_1_for_each_set_that_a_gene_is_in(tmp_path, monkeypatch, packed):
    """Reactome's file is a zip with a .gmt in it."""
    path = written(tmp_path, 'sets.gmt', 'few\tR-1\tA\nmany\tR-2\tA\tB\tC\nsome\tR-3\tB\tD\nlast\tR-4\tE\tA\n')
    if packed:
        with zipfile.ZipFile(tmp_path / 'sets.gmt.zip', 'w') as archive:
            archive.write(path, 'sets.gmt')
        path = str(tmp_path / 'sets.gmt.zip')
    names, vectors = read_embedding(path)
    assert names == ['A', 'B', 'C', 'D', 'E']
    # the largest set first, then those of the same size in the order of the file
    np.testing.assert_array_equal(vectors, [[1, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    monkeypatch.setattr(embedding_file, 'LARGEST_SETS', 2)
    names, vectors = read_embedding(path)
    assert names == ['A', 'B', 'C', 'D']  # E is in none of the two
    np.testing.assert_array_equal(vectors, [[1, 0], [1, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('e.csv', 'A,B\n1,\n2,3\n', "the vectors of 'B' are not complete"),
        ('e.csv', 'gene,d1\nA,1\nB,inf\n', "the vectors of 'B' are not complete"),
        ('e.csv', 'gene,d1\nA,1\nB,2\nA,3\n', "names stand twice: 'A'; keep one vector of each"),
        ('e.txt', 'A 7 2\nB 3 4\nA 5 6\n', "names stand twice: 'A'"),
        ('e.csv', 'gene,d1,d2\nA,1,x\nB,2,3\n', "the column 'd2' holds 'x', which is not a number; an embedding file"),
        ('e.csv', 'A,B\nx,1\n0.5,2\n', "the column 'A' holds 'x', which is not a number"),
        ('e.txt', 'A 7 2\nB 3\n', 'which is not a number|are not complete'),
        ('e.txt', 'A 7 2\nB 3 4 5\n', r'cannot be read as a \.txt table'),
        ('e.txt', '', r'cannot be read as a \.txt table'),
        ('sets.gmt', 'one\tR-1\n', 'line 1 has no genes'),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read_embedding(written(tmp_path, name, text))


def test_the_published_table_has_a_column_for_each_name(golden):
    names, vectors = read_embedding(str(golden / 'gene_embedding.tsv'))
    assert vectors.shape == (len(names), 8)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(vectors, np.loadtxt(golden / 'gene_embedding.tsv', skiprows=1).T, rtol=1e-12)


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-1e9, 1e9)),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_embeddings_come_back_as_written(tmp_path_factory, vectors, a_line_each):
    path = str(tmp_path_factory.mktemp('embedding') / 'e.tsv')
    names = [f'G{i}' for i in range(len(vectors))]
    table = pd.DataFrame(vectors, index=pd.Index(names, name='gene'))
    (table if a_line_each else table.T).to_csv(path, sep='\t', index=a_line_each)
    read = read_embedding(path)
    assert read[0] == names
    np.testing.assert_allclose(read[1], vectors, rtol=1e-15)
