"""When CPA does what: the released numbers, and what was meant."""

import json

import numpy as np
import pytest

from perturbjax.models.cpa.learning import Rates
from perturbjax.models.cpa.schedule import (
    ADVERSARY,
    AGAINST,
    BOTH,
    Settings,
    adversary_share,
    kinds_of_steps,
    mixup_size,
    rate_factor,
)


def test_the_released_schedule(golden):
    for row in json.loads((golden / 'cpa.json').read_text())['schedule']['rows']:
        epoch, share, mixup, is_game, rate = row
        settings = Settings()
        assert adversary_share(epoch, settings) == pytest.approx(share)
        assert mixup_size(epoch, settings) == mixup
        assert Rates().autoencoder * rate_factor(epoch, 'released') == pytest.approx(rate)
        kinds = kinds_of_steps(epoch, 4, settings).tolist()
        assert kinds == ([AGAINST, ADVERSARY, ADVERSARY, AGAINST] if is_game else [BOTH] * 4)


def test_what_was_meant():
    assert [rate_factor(epoch, 'meant') for epoch in (0, 24, 25, 50)] == pytest.approx([1, 1, 0.9, 0.81])
    sizes = [mixup_size(epoch, Settings(mixup=0.2)) for epoch in (0, 10, 15, 20, 100)]
    np.testing.assert_allclose(sizes, [0, 0, 0.1, 0.2, 0.2])


def test_without_warmup_the_adversary_counts_at_once():
    assert adversary_share(3, Settings(pretraining=2, warmup=0)) == 10
