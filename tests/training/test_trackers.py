"""The training curve beside metrics.jsonl; Weights & Biases is a fake that keeps what a server would."""

import sys
import types

import jax
import pytest
from etils import epath
from screens_for_tests import two_contexts

from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm_released
from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.fit import fit
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.trackers import trackers

CONFIG = {'seed': 0, 'split': {'name': 'unseen_in_context'}}


class FakeWandb(types.ModuleType):
    """The part of wandb that is used.

    Attributes:
      begun: the arguments of every `init`.
      curves: by the name of a run its ids, and by id the lines that it got, `(step, numbers)`.
      exit_codes: in the order in which runs ended.
    """

    Error = type('Error', (Exception,), {})

    def __init__(self, mode='offline', has_key=True):
        super().__init__('wandb')
        self.mode, self.has_key, self.logins = mode, has_key, 0
        self.begun, self.curves, self.exit_codes = [], {}, []

    def setup(self):
        return types.SimpleNamespace(settings=types.SimpleNamespace(mode=self.mode))

    def login(self, verify):
        self.logins += 1
        if not self.has_key:
            raise self.Error('No API key configured.')

    def init(self, **arguments):
        self.begun.append(arguments)
        curve = self.curves.setdefault(arguments['id'], [])

        def log(numbers, step, commit):
            curve.append((step, numbers))

        return types.SimpleNamespace(log=log, finish=lambda exit_code: self.exit_codes.append(exit_code))


@pytest.fixture
def wandb(monkeypatch):
    library = FakeWandb()
    monkeypatch.setitem(sys.modules, 'wandb', library)
    return library


def trained(folder, *epochs, after=0, model='a', split=13, stops=False, **settings):
    """Writes lines of the curve, as training that goes on after an epoch does; each epoch is its lines."""
    folder = epath.Path(folder)
    with trackers(TrainingSettings(**settings), folder, model, split, CONFIG) as beside:
        writer = MetricWriter(folder / 'metrics.jsonl', model, split, beside)
        writer.forget_from(after + 1)
        for lines in epochs:
            writer.write(*lines)
        if stops:
            raise KeyboardInterrupt
    return folder


def epoch(number, **apart):
    return [{'epoch': number, **apart, 'training_rmse': number / 2}]


def test_nothing_is_tracked_unless_it_is_asked_for(wandb, tmp_path):
    trained(tmp_path, epoch(1))
    assert not wandb.begun
    assert {path.name for path in tmp_path.iterdir()} == {'metrics.jsonl', '.metrics.jsonl.sha256'}


def test_a_model_and_split_are_a_run_of_the_project(wandb, tmp_path):
    for split in (13, 14):
        trained(tmp_path / 'work', epoch(1), epoch(2), split=split, wandb='screens')
    first, second = wandb.begun
    assert (first['project'], first['group'], first['name']) == ('screens', 'work', 'a/13')
    assert first['config'] == {**CONFIG, 'model': 'a', 'split_seed': 13}
    assert first['dir'] == str(tmp_path / 'work')
    assert second['name'] == 'a/14'
    assert second['id'] != first['id']
    assert wandb.curves[first['id']] == [(1, {'training_rmse': 0.5}), (2, {'training_rmse': 1.0})]
    assert wandb.exit_codes == [0, 0]


def test_each_member_is_a_run_with_what_sets_it_apart(wandb, tmp_path):
    trained(tmp_path, epoch(1, member=0, dropout=0.5) + epoch(1, member=1, dropout=0.5), wandb='screens')
    assert [run['name'] for run in wandb.begun] == ['a/13/member_0/dropout_0.5', 'a/13/member_1/dropout_0.5']
    assert [(run['config']['member'], run['config']['dropout']) for run in wandb.begun] == [(0, 0.5), (1, 0.5)]
    assert list(wandb.curves.values()) == [[(1, {'training_rmse': 0.5})]] * 2


def test_a_resumed_run_goes_on_as_the_same_and_has_no_epoch_twice(wandb, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, epoch(1), epoch(2), epoch(3), stops=True, wandb='screens')
    trained(tmp_path, epoch(2), epoch(3), epoch(4), after=1, wandb='screens')  # the last checkpoint was of epoch 1
    assert [run['resume'] for run in wandb.begun] == ['allow', 'allow']
    (curve,) = wandb.curves.values()
    assert [step for step, _ in curve] == [1, 2, 3, 4]
    assert wandb.exit_codes == [1, 0]


def test_another_workdir_of_the_same_name_is_not_the_same_run(wandb, tmp_path):
    for place in ('one', 'other'):
        trained(tmp_path / place / 'work', epoch(1), wandb='screens')
    assert len(wandb.curves) == 2


def test_it_logs_in_before_anything_is_trained_but_not_offline(wandb, tmp_path):
    wandb.has_key = False
    trained(tmp_path, epoch(1), wandb='screens')
    assert not wandb.logins
    wandb.mode = 'online'
    with pytest.raises(InputError, match=r'training.wandb: No API key configured; mend that, or .*WANDB_MODE=offline'):
        trained(tmp_path, epoch(2), after=1, wandb='screens')
    assert '"epoch": 2' not in (tmp_path / 'metrics.jsonl').read_text()


@pytest.mark.parametrize(
    ('settings', 'package', 'extra'),
    [({'wandb': 'screens'}, 'wandb', 'wandb'), ({'tensorboard': True}, 'tensorboardX', 'tensorboard')],
)
def test_a_missing_package_is_a_sentence(monkeypatch, tmp_path, settings, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"training.{extra}: it needs {package}; pip install 'perturbjax\[{extra}\]'"):
        trained(tmp_path, epoch(1), **settings)


def test_other_processes_track_nothing(wandb, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, 'process_index', lambda: 1)
    with trackers(TrainingSettings(wandb='screens', tensorboard=True), epath.Path(tmp_path), 'a', 13, CONFIG) as beside:
        assert beside == []


def test_training_itself_is_tracked_and_what_is_finished_begins_no_run(wandb, tmp_path):
    compendium = two_contexts()
    split = make_split(compendium, 'unseen_in_context', 13, context='a')
    settings = TrainingSettings(batch_size=8, epochs=2, shards=4, seeds=2, wandb='screens')
    about = checkpoints.About(compendium.vocabulary, CONFIG, split.describe(compendium), 'mine')
    folder = epath.Path(tmp_path)
    for _ in range(2):
        fit(lpm_released(2, (2,)), compendium, split, settings, 5, about, folder / 'saved', folder / 'metrics.jsonl')
    assert [run['name'] for run in wandb.begun] == ['mine/13/member_0', 'mine/13/member_1']
    for curve in wandb.curves.values():
        assert [step for step, _ in curve] == [1, 2]
        assert {'training_rmse', 'observations_per_second'} <= set(curve[0][1])


def test_tensorboard_keeps_members_apart(tmp_path):
    trained(tmp_path, epoch(1, member=0) + epoch(1, member=1), tensorboard=True)
    (events,) = (tmp_path / 'tensorboard' / 'a' / '13').iterdir()
    assert all(tag in events.read_bytes() for tag in (b'training_rmse/member_0', b'training_rmse/member_1'))


def test_tensorboard_gets_the_same_numbers(tmp_path):
    trained(tmp_path, epoch(1), tensorboard=True)
    (events,) = (tmp_path / 'tensorboard' / 'a' / '13').iterdir()
    assert b'training_rmse' in events.read_bytes()
