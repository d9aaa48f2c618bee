"""From settings to the plan that a step is compiled for."""

from collections.abc import Sequence

import numpy as np

from perturbjax.errors import InputError
from perturbjax.models.lpm import LPM
from perturbjax.screens.screen import Compendium
from perturbjax.training.settings import Settings
from perturbjax.training.step import Plan

# A table of so many rows for each row that a step needs is updated row by row.
LAZY_FROM = 64


def make_plan(
    module: LPM, compendium: Compendium, chosen: Sequence[np.ndarray], settings: Settings, devices: int
) -> Plan:
    """The plan for training on the chosen profiles (bool `[N]` per screen) with so many devices.

    Raises InputError where the shards cannot be dealt to the devices evenly.
    """
    if settings.shards % devices:
        raise InputError(
            f'training.shards: {settings.shards} is not a multiple of the {devices} devices; '
            f'make it {-(-settings.shards // devices) * devices}, or use another number of devices.'
        )
    p, r = settings.block
    values = sum(int(mask.sum()) * len(screen.readout) for screen, mask in zip(compendium.screens, chosen, strict=True))
    blocks = min(settings.batch, values) // (p * r) or 1
    order = compendium.screens[0].perturbation.shape[1]
    needed = {'perturbation': (module.perturbations, blocks * p * order), 'readout': (module.readouts, blocks * r)}
    lazy = tuple(name for name, (rows, touched) in needed.items() if rows >= LAZY_FROM * touched)
    return Plan(module, blocks, (p, r), settings.shards, devices, settings.accumulate, lazy)
