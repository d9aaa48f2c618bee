"""CPA as a model: what it needs of the data, how it is fitted, and its predictions as profiles."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool

from perturbjax.errors import InputError, check_positive, check_range, did_you_mean, listed
from perturbjax.models.cell_learner import CellLearner, Course
from perturbjax.models.cells import deal, make_keys, screen_of_cells
from perturbjax.models.cpa.cells import Chosen, LabelledCells, check_counts, label_cells
from perturbjax.models.cpa.fitting import FEWEST, CpaRule, plan_of
from perturbjax.models.cpa.learning import Players, Rates
from perturbjax.models.cpa.network import DOSERS, LIKELIHOODS, Adversary, Autoencoder
from perturbjax.models.cpa.predicting import predict, tables
from perturbjax.models.cpa.schedule import SCHEDULES, Settings
from perturbjax.models.model import Masks, Model
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

# What a prediction is; what becomes of perturbations that nothing was learnt of.
PROFILES, UNTRAINED = ('released', 'change'), ('released', 'none')

# The size of mixup that was meant.
_MEANT_MIXUP = 0.1

_ENCODER, _DECODER, _ADVERSARY = 4, 2, 2

# One batch of few cells is of a multiple of this.
_DIVIDED = 64

# Its epochs are many and short.
_RECIPE = (('checkpoint_every', 25),)


def cpa(
    likelihood: str = 'nb',
    latent: int = 32,
    width: int = 256,
    adversary_width: int = 128,
    dropout: float = 0.2,
    adversary_dropout: float = 0.3,
    doser: str = 'linear',
    contexts: bool = False,
    mixup: str | float = 'released',
    schedule: str = 'released',
    profile: str = 'released',
    untrained: str = 'released',
    epochs: int = 2000,
    batch_size: int = 2048,
    patience: int = 5,
    pretraining: int = 10,
    warmup: int = 50,
    adversary: float = 10.0,
    penalty: float = 20.0,
    learning_rate: float = 1e-4,
    adversary_rate: float = 1e-4,
    weight_decay: float = Rates().autoencoder_decay,
    adversary_decay: float = Rates().adversary_decay,
) -> Model:
    """CPA (Lotfollahi et al. 2023) as cpa-tools 0.8.8 with the settings of Ahlmann-Eltze et al. 2025.

    It learns from the cells of one screen (`data.keep_cells`). Of `config.training` it goes by
    `cell_learner.SETTINGS`. A perturbation shifts the latent state of a cell, and parts of a combination add up.

    Args:
      likelihood: `nb`, of counts, which are recovered from ln(1 + scaled counts); or `gauss`, of the values as they
        are.
      latent: the width of the latent states.
      width, adversary_width: of the layers, of which the encoder has 4, the decoder 2 and the adversary 2.
      dropout, adversary_dropout: of encoder and adversary.
      doser: what a dose does; all doses are 1, so that `sigm` and `logsigm` give a perturbation a size that is learnt.
      contexts: whether contexts have embeddings, which the adversary guesses too.
      mixup: `released`, which is never; `meant`, cells in pairs by shares of Beta(0.1, 0.1); or another number.
      schedule: the rates fall by a tenth after 626 epochs and every 625 more, as `released`; or every 25, as `meant`.
      profile: what is predicted. As `released`, the mean over control cells of ln(1 + the expected counts, scaled to
        10,000 over the panel): it lies above a mean of logarithms, and much above where the panel is a part of the
        genes. With `change`, control's profile plus the difference of that from what the network makes of control,
        in cells that are scaled to the sum of their control cell.
      untrained: a perturbation with a part that no training profile has is predicted from the embedding that it
        started with, as `released`; or it has no answer, with `none`.
      epochs: over the training cells, at most. With validation profiles, every fifth one is judged by them, and the
        best is kept.
      batch_size: cells of a step.
      patience: training stops after so many such looks without a better one.
      pretraining, warmup: epochs before the adversary counts, and until it counts in full.
      adversary, penalty: how much it then counts, and how much its slopes count in its own loss.
      learning_rate, adversary_rate: of Adam.
      weight_decay, adversary_decay: are added to the gradients, times the weights.

    Raises:
      InputError: a setting that is out of its range.

    Example:
      >>> config_data = {'source': 'h5ad', 'path': 'screen.h5ad', 'preset': 'gears', 'keep_cells': True}
      >>> config_models = {'cpa': {'profile': 'change'}}
    """
    _check_names(likelihood=likelihood, doser=doser, schedule=schedule, profile=profile, untrained=untrained)
    least = {'latent': latent, 'width': width, 'adversary_width': adversary_width, 'epochs': epochs}
    check_range('models.cpa', 1, **least, patience=patience)
    check_range('models.cpa', 3, batch_size=batch_size)
    check_range('models.cpa', 0, pretraining=pretraining, warmup=warmup, adversary=adversary, penalty=penalty)
    check_range('models.cpa', 0, weight_decay=weight_decay, adversary_decay=adversary_decay)
    check_positive('models.cpa', learning_rate=learning_rate, adversary_rate=adversary_rate)
    _check_dropout(dropout=dropout, adversary_dropout=adversary_dropout)
    rates = Rates(
        learning_rate, adversary_rate, autoencoder_decay=weight_decay, adversary_decay=adversary_decay, penalty=penalty
    )
    settings = Settings(pretraining, warmup, adversary, mixup=_mixup(mixup), schedule=schedule)

    def autoencoder(readouts: int, perturbations: int, embedded: int) -> Autoencoder:
        widths = (width,) * _ENCODER, (width,) * _DECODER
        return Autoencoder(readouts, perturbations, embedded, latent, *widths, dropout, likelihood, doser)

    def guesses(classes: tuple[int, ...]) -> Adversary:
        return Adversary(classes, latent, (adversary_width,) * _ADVERSARY, adversary_dropout)

    data = _Data(autoencoder, guesses, rates, settings, batch_size, likelihood, contexts, untrained)
    learner = CellLearner(data.prepare, epochs, patience * settings.every, _RECIPE)
    return Model(None, functools.partial(predict, autoencoder, profile), cell_learner=learner, check=data.check)


class _Data(NamedTuple):
    """What the model needs of the data, and makes of them.

    Attributes:
      autoencoder: the network for so many readouts, perturbations and embedded contexts.
      guesses: the adversary for so many classes of each thing.
      rates, settings: how they learn.
      batch_size, likelihood, contexts, untrained: see `cpa`.
    """

    autoencoder: Callable[[int, int, int], Autoencoder]
    guesses: Callable[[tuple[int, ...]], Adversary]
    rates: Rates
    settings: Settings
    batch_size: int
    likelihood: str
    contexts: bool
    untrained: str

    def check(self, compendium: Compendium) -> None:
        """See `Model.check`."""
        screen = self.screen(compendium)
        if self.likelihood == 'nb':
            check_counts(screen)

    def screen(self, compendium: Compendium) -> Screen:
        """The screen to learn from."""
        return screen_of_cells(compendium, 'cpa', 'log1p' if self.likelihood == 'nb' else None)

    def prepare(self, compendium: Compendium, training: Masks, validation: Masks, seed: int) -> Course:
        """See `CellLearner.prepare`."""
        screen, vocabulary, keys = self.screen(compendium), compendium.vocabulary, make_keys(seed)
        values, cells, chosen = label_cells(screen, training, validation, self.likelihood)
        _check_training(cells, chosen, screen)
        players = self.players(screen, vocabulary, cells)
        of_trained = tables(vocabulary, screen, players.autoencoder, values, cells, chosen, keys)
        known = {'is_known': self.known(vocabulary, screen, training)}
        return Course(
            rule=CpaRule(players, self.settings.mixup > 0),
            values=values,
            partner=None,
            training=chosen.training,
            batch_size=_size(self.batch_size, len(chosen.training)),
            fewest=FEWEST,
            validation=deal(chosen.validation, _size(self.batch_size, len(chosen.validation)), FEWEST),
            tables=cells,
            plan=functools.partial(plan_of, self.settings),
            keys=keys,
            finish=lambda kept: of_trained(kept) | known,
            looks=lambda epoch: (epoch + 1) % self.settings.every == 0,
        )

    def players(self, screen: Screen, vocabulary: Vocabulary, cells: LabelledCells) -> Players:
        """The two networks for these cells."""
        classes = tuple(len(each) for each in cells.weights)
        embedded = classes[1] if self.contexts and classes[1] > 1 else 0
        network = self.autoencoder(len(screen.readout), len(vocabulary.perturbations), embedded)
        return Players(network, self.guesses(classes[: 2 if embedded else 1]), self.rates)

    def known(self, vocabulary: Vocabulary, screen: Screen, training: Masks) -> Bool[np.ndarray, ' P']:
        """Which single perturbations are predicted; tells of those that are so without training."""
        trained = _trained(vocabulary, screen, training)
        if self.untrained != 'released':
            return trained
        _tell_untrained(vocabulary, trained)
        return np.ones_like(trained)


def _size(batch_size: int, cells: int) -> int:
    """Of fewer cells than a batch has, one batch is made, whose size many numbers of devices divide."""
    return min(batch_size, max(-(-cells // _DIVIDED) * _DIVIDED, _DIVIDED))


def _check_names(**given: str) -> None:
    known = {'likelihood': LIKELIHOODS, 'doser': DOSERS, 'schedule': SCHEDULES, 'profile': PROFILES}
    for name, value in given.items():
        choices = known.get(name, UNTRAINED)
        if value not in choices:
            raise InputError(f'models.cpa.{name}: no such {value!r}; {did_you_mean(value, choices)}')


def _check_dropout(**rates: float) -> None:
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise InputError(f'models.cpa.{name}: {rate} must be at least 0 and below 1.')


def _mixup(given: str | float) -> float:
    named = {'released': 0.0, 'meant': _MEANT_MIXUP}
    if isinstance(given, str):
        if given not in named:
            raise InputError(f'models.cpa.mixup: no such {given!r}; {did_you_mean(given, named)}')
        return named[given]
    check_range('models.cpa', 0, mixup=given)
    return float(given)


def _check_training(cells: LabelledCells, chosen: Chosen, screen: Screen) -> None:
    if not len(chosen.control):
        raise InputError(
            f'models.cpa: {screen.name}: no control cells are among the training profiles, and predictions are made of '
            'them; name control in data.fields.control.'
        )
    if len(chosen.training) < FEWEST:
        raise InputError(
            f'models.cpa: {screen.name}: {len(chosen.training)} cells train, and a batch norm needs {FEWEST}; hold out '
            'less.'
        )
    conditions = np.unique(cells.condition[cells.profile[chosen.training]])
    if len(conditions) < 2:
        raise InputError(
            f'models.cpa: {screen.name}: the training profiles are of {len(conditions)} perturbation, control counted, '
            'and the adversary needs two to tell apart; hold out less.'
        )


def _trained(vocabulary: Vocabulary, screen: Screen, training: Masks) -> Bool[np.ndarray, ' P']:
    """Which single perturbations are a part of any training profile."""
    parts = screen.perturbation[np.asarray(training[0])]
    return np.isin(np.arange(len(vocabulary.perturbations)), parts)


def _tell_untrained(vocabulary: Vocabulary, trained: Bool[np.ndarray, ' P']) -> None:
    names = np.array(vocabulary.perturbations, object)[~trained]
    if not len(names):
        return
    logging.warning(
        'models.cpa: no training profile has %d of %d perturbations; they are predicted from random embeddings, as '
        "released (models.cpa.untrained = 'none' leaves them out): %s.",
        *(len(names), len(trained) - 1, listed(names)),
    )
