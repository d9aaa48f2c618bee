"""Names and ids on the three axes: contexts, perturbations and readouts."""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.paths import absolute

CONTROL = 'control'
CONTROL_ID = 0
PADDING = -1
TYPES = ('CRISPRi', 'CRISPRa', 'CRISPR-KO', 'RNAi', 'Overexpression', 'Compound')

# A list, an array or a column of names.
Names: TypeAlias = Sequence[str] | np.ndarray | pd.Index | pd.Series

# A plus inside parentheses belongs to a name, as in '(+)-JQ1'; any other plus joins two parts.
PLUS = r'\+(?![^(]*\))'
_JOIN = re.compile(PLUS)


def parts(name: str) -> tuple[str, ...]:
    """The sorted parts of a perturbation's name, without control.

    `'B+A'` and `'A+control+B'` both give `('A', 'B')`; control alone gives `()`.
    """
    found = _JOIN.split(name) if ')' in name else name.split('+')
    return tuple(sorted([part for part in found if part != CONTROL]))


def combine(names: Iterable[str]) -> str:
    """The name of a combination: its sorted parts joined by `+`; control if there are none."""
    return '+'.join(sorted(name for name in names if name != CONTROL)) or CONTROL


def token(name: str, type_name: str = '') -> str:
    """The name of one part with its type in front, as `CRISPRi_STAT1`; a `+` in the name becomes `(+)`."""
    name = _JOIN.sub('(+)', name)
    return f'{type_name}_{name}' if type_name else name


def target_gene(name: str) -> str:
    """The gene or compound that a part aims at, its name without its type: `CRISPRi_STAT1` gives `STAT1`."""
    prefix, _, rest = name.partition('_')
    return rest if prefix in TYPES and rest else name


def perturbation_type(name: str) -> str:
    """The type in front of a part's name, `''` where there is none: `CRISPRi_STAT1` gives `CRISPRi`."""
    prefix, _, rest = name.partition('_')
    return prefix if prefix in TYPES and rest else ''


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The names of C contexts, P single perturbations (control first) and M readouts.

    An id is the index of a name in one of the three tuples. A combination of order K is a row of K
    perturbation ids, sorted by name and padded with -1; control is `[0, -1, ...]`.

    Attributes:
      contexts: names `[C]`.
      perturbations: names `[P]` of single perturbations; the first is `control`.
      readouts: names `[M]`.
    """

    contexts: tuple[str, ...]
    perturbations: tuple[str, ...]
    readouts: tuple[str, ...]

    def __post_init__(self):
        for axis in ('contexts', 'perturbations', 'readouts'):
            names = getattr(self, axis)
            if len(set(names)) < len(names):
                repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
                raise InputError(
                    f'vocabulary: {axis} are named twice: {listed(repeated)}; give each a name of its own.'
                )
        if not self.perturbations or self.perturbations[CONTROL_ID] != CONTROL:
            raise InputError(f'vocabulary: the first perturbation must be {CONTROL!r}.')

    @functools.cached_property
    def _indices(self) -> dict[str, pd.Index]:
        return {axis: pd.Index(getattr(self, axis), dtype=object) for axis in ('contexts', 'perturbations', 'readouts')}

    def _ids(self, axis: str, names: Names) -> np.ndarray:
        asked = np.asarray(names, dtype=object)
        ids = self._indices[axis].get_indexer(pd.Index(asked, dtype=object))
        if (ids < 0).any():
            unknown = sorted(set(asked[ids < 0]))
            hint = did_you_mean(unknown[0], getattr(self, axis))
            raise InputError(f'{axis} outside the vocabulary: {listed(unknown)}; {hint}')
        return ids.astype(np.int32)

    def context_ids(self, names: Names) -> np.ndarray:
        """The ids `[N]` of context names; raises InputError on an unknown name."""
        return self._ids('contexts', names)

    def readout_ids(self, names: Names) -> np.ndarray:
        """The ids `[M]` of readout names; raises InputError on an unknown name."""
        return self._ids('readouts', names)

    def perturbation_ids(self, names: Names, order: int = 1) -> np.ndarray:
        """The ids `[N, K]` of perturbations and combinations, padded with -1; K is at least `order`.

        Raises InputError on a part that is not in the vocabulary.
        """
        codes, unique = pd.factorize(np.asarray(names, dtype=object))
        rows = [parts(name) or (CONTROL,) for name in unique]
        lengths = [len(row) for row in rows]
        ids = np.full((len(rows), max([order, *lengths])), PADDING, np.int32)
        flat = self._ids('perturbations', [part for row in rows for part in row])
        ids[np.arange(ids.shape[1]) < np.array(lengths, int).reshape(-1, 1)] = flat
        return ids[codes]

    def target_readouts(self) -> np.ndarray:
        """The id of the readout that each perturbation aims at, int32 `[P]`; -1 where its target is no readout."""
        targets = [target_gene(name) for name in self.perturbations]
        return self._indices['readouts'].get_indexer(pd.Index(targets, dtype=object)).astype(np.int32)

    def knows_perturbation(self, names: Names) -> np.ndarray:
        """Whether every part of each name is in the vocabulary, bool `[N]`."""
        known = set(self.perturbations)
        return np.array([known.issuperset(parts(name)) for name in names], bool)

    def perturbation_names(self, ids: np.ndarray) -> list[str]:
        """The names `[N]` of rows of ids `[N, K]`; the parts of a combination are joined by `+`."""
        rows, codes = np.unique(ids, axis=0, return_inverse=True)
        names = [combine(self.perturbations[i] for i in row if i != PADDING) for row in rows]
        return [names[code] for code in codes.ravel()]

    def to_json(self) -> str:
        """The names as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> 'Vocabulary':
        """The vocabulary that `to_json` wrote; raises KeyError, TypeError or ValueError where it is something else."""
        fields = json.loads(text)
        return cls(**{axis: tuple(fields[axis]) for axis in ('contexts', 'perturbations', 'readouts')})


def read_vocabulary(path: str) -> Vocabulary:
    """The vocabulary saved at `path`; raises InputError where the file is missing or is something else."""
    try:
        return Vocabulary.from_json(pathlib.Path(absolute(path)).read_text())
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f'{path}: this is not a saved vocabulary ({error}).') from error
