"""`--mode=next` on a finished workdir, and again with other settings."""

import pandas as pd
import pytest

from experiments import tiny
from perturbjax import experiment
from perturbjax.errors import InputError
from perturbjax.workdir import read_table


def config_of(**settings):
    config = tiny.get_config()
    config.data.unmeasured = ('CRISPRi_NEW',)
    config.split.seeds = (13,)
    config.models = {'context_mean': {}, 'two_way': {'penalties': (1.0, 1.0, 1.0, 1.0)}}
    config.training = {}
    config.next = {'batch': 3, **settings}
    return config


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('next')
    experiment.run(config_of(), str(folder), 'train')
    return folder


def test_the_batch_is_written_and_may_be_asked_for_again(workdir, capsys):
    experiment.run(config_of(), str(workdir), 'next')
    table = read_table(workdir / 'next.csv')
    assert f'next measurements, by two_way: {workdir}/next.csv' in capsys.readouterr().out
    assert table['rank'].tolist() == [1, 2, 3]
    assert set(table['perturbation']) == {'CRISPRi_NEW'}  # all else is measured
    assert table['context'].nunique() == 3
    experiment.run(config_of(batch=2, model='two_way'), str(workdir), 'next')
    pd.testing.assert_frame_equal(read_table(workdir / 'next.csv'), table[:2])


def test_candidates_may_come_from_a_table(workdir, tmp_path):
    (tmp_path / 'asked.csv').write_text('context,perturbation\ncontext1,NEW\ncontext1,control\ncontext9,NEW\n')
    experiment.run(config_of(), str(workdir), 'next', queries=str(tmp_path / 'asked.csv'))
    assert read_table(workdir / 'next.csv')[['context', 'perturbation']].to_numpy().tolist() == [
        ['context1', 'CRISPRi_NEW']
    ]


def test_bad_settings_are_told(workdir):
    before = (workdir / 'config.json').read_text()
    for settings, message in (
        ({'batch': 0}, r'next.batch: 0 must be at least 1'),
        ({'model': 'two_wya'}, r"next.model: no such label 'two_wya'; did you mean 'two_way'"),
        ({'model': 'context_mean'}, r"'context_mean' does not say how sure it is"),
        ({'bach': 1}, r"next: no such setting 'bach'; did you mean 'batch'"),
    ):
        with pytest.raises(InputError, match=message):
            experiment.run(config_of(**settings), str(workdir), 'next')
    assert (workdir / 'config.json').read_text() == before
