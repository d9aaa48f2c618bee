"""Splits as STATE writes them."""

import pytest

from perturbjax.errors import InputError
from perturbjax.readers.split_file import read_split_lists, resolve
from perturbjax.screens.vocabulary import Vocabulary

TEXT = """
[datasets]
replogle = "/data/replogle"
[training]
replogle = "train"
[zeroshot]
"replogle.jurkat" = "test"
"replogle.hepg2" = "val"
[fewshot."replogle.rpe1"]
val = ["AARS", "g1"]
test = ["AARS", "NUP107", "g2+g1"]
"""


def read(tmp_path, text):
    path = tmp_path / 'split.toml'
    path.write_text(text)
    return read_split_lists(str(path))


def test_contexts_and_lists(tmp_path, caplog):
    assert read(tmp_path, TEXT) == {
        'train': ['*'],
        'val': [['hepg2', '*'], ['rpe1', 'g1']],
        'test': [['jurkat', '*'], ['rpe1', 'AARS'], ['rpe1', 'NUP107'], ['rpe1', 'g2+g1']],
    }
    assert "fewshot.replogle.rpe1: 'AARS': under both val and test, so tested" in caplog.text


def test_names_are_those_of_the_data(tmp_path):
    (tmp_path / 'split.toml').write_text(TEXT)
    names = Vocabulary(('rpe1', 'jurkat'), ('control', 'CRISPRi_g1', 'CRISPRi_g2'), ('r',))
    found = resolve({'name': 'custom', 'path': str(tmp_path / 'split.toml')}, {}, names)
    assert found['lists']['test'][-1] == ['rpe1', 'g1+g2']
    assert found['lists']['train'] == ['*']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[zeroshot', 'it cannot be read as TOML'),
        ('[zeroshot]\n"a.b" = "train"', "zeroshot.a.b: 'train' must be val or test"),
        ('zeroshot = 3', 'zeroshot must be a table'),
        ('[fewshot."a.b"]\ntests = []', 'fewshot.a.b: it must have the lists val and test'),
        ('[fewshot."a.b"]\ntest = "g"', 'fewshot.a.b: val and test must be lists of text'),
        ('[fewshot."a.b"]\ntest = [1]', 'fewshot.a.b: val and test must be lists of text'),
        ('[fewshot."a.b"]\nval = ["g"]', 'neither zeroshot nor fewshot names anything to test'),
        ('', 'neither zeroshot nor fewshot names anything to test'),
    ],
)
def test_what_is_no_split_is_told(tmp_path, text, message):
    with pytest.raises(InputError, match=rf'split.toml: .*{message}'):
        read(tmp_path, text)
