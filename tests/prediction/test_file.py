import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.prediction.file import asked_for, read_queries
from perturbjax.readers.asked import Forms
from perturbjax.screens.vocabulary import Vocabulary

NAMES = Vocabulary(('B', 'k'), ('control', 'CRISPRi_G0', 'CRISPRi_G1', 'CRISPRi_A', 'CRISPR-KO_A'), ('x', 'y'))
ASKED = [
    ('B ', 'G0+ctrl', 'CRISPRi_G0'),
    ('k', ' CRISPRi_G1+G0', 'CRISPRi_G0+CRISPRi_G1'),
    ('k', 'DMSO_2', 'control'),
    ('k', None, ''),
    ('b', 'G0', 'CRISPRi_G0'),
    ('k', 'A', 'A'),
]


def read(folder, rows):
    pd.DataFrame(rows, columns=['context', 'perturbation']).to_csv(folder / 'q.csv', index=False)
    return read_queries(str(folder / 'q.csv'), NAMES, Forms(('control', 'ctrl', 'DMSO*')))


def test_queries_are_written_as_screens_are(tmp_path, caplog):
    queries = read(tmp_path, [row[:2] for row in ASKED])
    assert list(queries['perturbation']) == [wanted for *_, wanted in ASKED]
    assert list(queries['context'][:2]) == ['B', 'k']
    assert "q.csv: 3 of 6 profiles have a name outside the vocabulary and get no prediction: ' in k', " in caplog.text
    assert "; known are 'B', 'k'." in caplog.text
    assert "q.csv: 'A' may be 'CRISPRi_A', 'CRISPR-KO_A'; write which one." in caplog.text
    caplog.clear()
    blocks = [asked_for(queries, NAMES, seed) for seed in (1, 2)]  # it was told once, for all splits
    assert not caplog.text
    assert [list(block.is_known) for block in blocks] == [[True, True, True, False, False, False]] * 2
    assert blocks[0].query.perturbation.tolist() == [[1, -1], [1, 2], [0, -1]]
    assert set(blocks[1].data.obs['split']) == {2}


def test_columns_are_needed(tmp_path):
    pd.DataFrame({'context': ['k'], 'gene': ['A']}).to_csv(tmp_path / 'q.csv', index=False)
    with pytest.raises(InputError, match="q.csv: no column 'perturbation'; it has 'context', 'gene'"):
        read_queries(str(tmp_path / 'q.csv'), NAMES, Forms())
