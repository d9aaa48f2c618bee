import gzip

import pandas as pd
import pytest

from perturbjax.analysis.annotation import check_columns, read_gene_pairs, read_labels, read_sets
from perturbjax.errors import InputError

GMT = 'one\thttp://x\tA\tB\tC\ntwo\t\tB\tA\t\nlarge\t\tA\tB\tC\tD\n'


def write(path, text):
    path.write_text(text)
    return str(path)


def test_pairs_of_a_table(tmp_path):
    path = write(tmp_path / 'pairs.csv', 'entity1,entity2\nB,A\nA,B\nA,A\nC,\nB,C\n')
    assert read_gene_pairs(path).values.tolist() == [['A', 'B'], ['B', 'C']]
    assert list(read_gene_pairs(path).columns) == ['first', 'second']


def test_two_columns_of_several(tmp_path):
    path = write(tmp_path / 'pairs.tsv', 'source\ttarget\tscore\nB\tA\t1\n')
    assert read_gene_pairs(path, ['source', 'target']).values.tolist() == [['A', 'B']]
    with pytest.raises(InputError, match=r"has 3 columns; name the two to read, such as \['source', 'target'\]"):
        read_gene_pairs(path)
    with pytest.raises(InputError, match=r"there is no column 'Source'; did you mean 'source'"):
        read_gene_pairs(path, ['Source', 'target'])


def test_sets_and_pairs_of_a_gmt(tmp_path):
    path = write(tmp_path / 'sets.gmt', GMT)
    assert read_sets(path).groupby('set')['gene'].agg(''.join).to_dict() == {'one': 'ABC', 'two': 'BA', 'large': 'ABCD'}
    assert read_gene_pairs(path, largest=3).values.tolist() == [['A', 'B'], ['A', 'C'], ['B', 'C']]
    assert len(read_gene_pairs(path)) == 6
    with gzip.open(tmp_path / 'sets.gmt.gz', 'wt') as file:
        file.write(GMT)
    assert read_sets(str(tmp_path / 'sets.gmt.gz')).equals(read_sets(path))


def test_sets_of_a_table(tmp_path):
    path = write(tmp_path / 'sets.csv', 'set,gene\none,A\none,B\none,B\n')
    assert read_sets(path).values.tolist() == [['one', 'A'], ['one', 'B']]


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('sets.gmt', 'one\t\tA\ntwo\t\n', 'sets.gmt: line 2 has no genes; a line is a name, a description and genes'),
        ('sets.gmt', '\n', 'sets.gmt: the file has no genes'),
        ('pairs.csv', 'a,b\nA,A\n', 'pairs.csv: there is no pair of two different genes'),
    ],
)
def test_bad_files_are_told(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read_gene_pairs(write(tmp_path / name, text))


def test_a_damaged_gmt_is_told(tmp_path):
    (tmp_path / 'sets.gmt.gz').write_bytes(gzip.compress(GMT.encode())[:-9])
    with pytest.raises(InputError, match=r'sets.gmt.gz: cannot be read as gene sets'):
        read_sets(str(tmp_path / 'sets.gmt.gz'))


def test_labels_of_compounds(tmp_path):
    path = write(tmp_path / 'drugs.tsv', 'compound\ttargets\nx\tA; B;A\ny\t\nz\tB\n')
    assert read_labels(path, 'targets').values.tolist() == [['x', 'A'], ['x', 'B'], ['z', 'B']]
    with pytest.raises(InputError, match=r"drugs.tsv: there is no column 'target'; did you mean 'targets'"):
        read_labels(path, 'target')
    empty = write(tmp_path / 'empty.tsv', 'compound\ttargets\nx\t\n')
    with pytest.raises(InputError, match=r"empty.tsv: the column 'targets' is empty; choose another"):
        read_labels(empty, 'targets')


def test_tables_of_other_columns_are_told():
    there = pd.DataFrame({'compound': ['x'], 'target': ['A']})
    with pytest.raises(InputError, match=r"targets: there is no column 'label'; known are 'compound', 'target'"):
        check_columns(there, ('compound', 'label'), 'targets')
    with pytest.raises(InputError, match='targets: the table is empty'):
        check_columns(there[:0], ('compound',), 'targets')


def test_real_annotations(shared):
    folder = shared / 'annotations'
    assert len(read_gene_pairs(str(folder / 'reactome_pairs.csv'))) == 18565
    targets = read_labels(str(folder / 'compound_targets.tsv'), 'targets')
    assert set(targets['label'][targets['compound'] == 'vemurafenib']) == {'BRAF', 'CYP3A4', 'CYP3A5', 'RAF1'}
