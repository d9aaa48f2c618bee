"""Which profiles are held out, by the name of a rule and a seed; the rules are in `split_rules`."""

from typing import Any, NamedTuple

import numpy as np

from perturbjax.errors import InputError, check_settings, pick
from perturbjax.screens.roles import TEST, TRAIN, UNUSED, VALIDATION
from perturbjax.screens.screen import Compendium
from perturbjax.screens.split_rules import SPLITS

__all__ = ['SPLITS', 'TEST', 'TRAIN', 'UNUSED', 'VALIDATION', 'Split', 'make_split']


class Split(NamedTuple):
    """The role of every profile, and how the split was made.

    Attributes:
      name: of the rule.
      seed: of the random choice.
      roles: one int8 array `[N]` per screen, of TRAIN, VALIDATION, TEST and UNUSED.
    """

    name: str
    seed: int
    roles: tuple[np.ndarray, ...]

    def mask(self, role: int) -> tuple[np.ndarray, ...]:
        """Which profiles have that role, one bool `[N]` per screen."""
        return tuple(roles == role for roles in self.roles)

    def describe(self, compendium: Compendium) -> dict[str, Any]:
        """The held-out profiles by name, for JSON; every other profile trains."""
        table, roles = compendium.table(), np.concatenate(self.roles)
        named = {'validation': VALIDATION, 'test': TEST, 'unused': UNUSED}
        columns = ['screen', 'context', 'perturbation']
        held_out = {word: table.loc[roles == role, columns].to_numpy().tolist() for word, role in named.items()}
        return {'name': self.name, 'seed': self.seed, 'train': int((roles == TRAIN).sum()), **held_out}


def make_split(compendium: Compendium, name: str, seed: int, **settings: Any) -> Split:
    """The split that the rule makes with that seed. Control always trains.

    Raises InputError where a setting cannot be used, or nothing is left to train on or to test.
    """
    rule = pick(SPLITS, name, 'split.name')
    check_settings(rule, settings, f'split ({name})', given=('table', 'seed'))
    table = compendium.table()
    roles = np.where(table['order'] == 0, TRAIN, rule(table, seed, **settings)).astype(np.int8)
    for role, word in ((TRAIN, 'train on'), (TEST, 'test')):
        if not ((roles == role) & (table['order'] > 0)).any():
            raise InputError(f'split ({name}, seed {seed}): it leaves no perturbation to {word}; change its settings.')
    measured = np.concatenate([~np.isnan(screen.values).all(axis=1) for screen in compendium.screens])
    if not measured[roles == TEST].any():
        raise InputError(f'split ({name}, seed {seed}): every value to be tested is missing; hold out other profiles.')
    ends = np.cumsum([len(screen.context) for screen in compendium.screens])[:-1]
    return Split(name, seed, tuple(np.split(roles, ends)))
