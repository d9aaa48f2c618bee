"""Screen and Compendium: the one data structure that everything after the readers works on."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real

from perturbjax.errors import InputError, listed
from perturbjax.screens.cells import Cells
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.scales import find_scale, scales_of_zero
from perturbjax.screens.vocabulary import CONTROL, CONTROL_ID, Vocabulary, parts

# The arrays that are kept on disk; weights are made anew for every split.
ARRAYS = ('values', 'context', 'perturbation', 'readout', 'cells', 'standard_error', 'halves')


@dataclasses.dataclass(frozen=True)
class Screen:
    """One dense block of N profiles by M readouts; ids are those of the compendium's vocabulary.

    A pytree: the arrays are its leaves (those of jax inside `jit`); name, scale and `present_contexts` are static.
    Cells stay on the host: inside `jit` there are none.

    Attributes:
      values: on the declared scale, NaN = not measured.
      context: ids.
      perturbation: ids, padded with -1; control is `[0, -1, ...]`.
      readout: ids of the panel.
      cells, standard_error, halves: as in `Measurements`, or None.
      name: the screen's name in outputs.
      scale: a name in `scales.SCALES`.
      present_contexts: the ids of the contexts that the screen has, sorted.
      weight: how much each profile counts in fitting, see `weights.weighted`; None: all alike.
      kept: the cells behind the profiles, where `data.keep_cells` asks for them.
    """

    values: Float[np.ndarray, 'N M']
    context: Int[np.ndarray, ' N']
    perturbation: Int[np.ndarray, 'N K']
    readout: Int[np.ndarray, ' M']
    cells: Real[np.ndarray, ' N'] | None
    standard_error: Float[np.ndarray, 'N M'] | None
    halves: Float[np.ndarray, '2 N M'] | None
    name: str
    scale: str
    present_contexts: tuple[int, ...]
    weight: Float[np.ndarray, ' N'] | None = None
    kept: Cells | None = None

    @property
    def is_control(self) -> Bool[np.ndarray, ' N']:
        """Which profiles are control."""
        return self.perturbation[:, 0] == CONTROL_ID

    @property
    def order(self) -> Int[np.ndarray, ' N']:
        """How many parts each profile's perturbation has; 0 for control."""
        return (self.perturbation > CONTROL_ID).sum(axis=1)


@dataclasses.dataclass(frozen=True)
class Compendium:
    """Several screens over one vocabulary; their panels of readouts may differ and are never padded.

    A pytree with the screens as children and the vocabulary static.
    """

    screens: tuple[Screen, ...]
    vocabulary: Vocabulary

    def fingerprint(self) -> dict[str, dict[str, Any]]:
        """The size, the scale and a hash of the values of each screen, to recognise the same data later."""
        return {
            screen.name: {
                'profiles': screen.values.shape[0],
                'readouts': screen.values.shape[1],
                'scale': screen.scale,
                'sha256': hashlib.sha256(np.ascontiguousarray(screen.values).data).hexdigest(),
            }
            for screen in self.screens
        }

    def table(self) -> pd.DataFrame:
        """One row per profile: screen, context, perturbation, order, row (its position in the screen)."""
        frames = [
            pd.DataFrame(
                {
                    'screen': screen.name,
                    'context': np.array(self.vocabulary.contexts, object)[screen.context],
                    'perturbation': self.vocabulary.perturbation_names(screen.perturbation),
                    'order': screen.order,
                    'row': np.arange(len(screen.context)),
                }
            )
            for screen in self.screens
        ]
        return pd.concat(frames, ignore_index=True)


jax.tree_util.register_dataclass(Screen, (*ARRAYS, 'weight'), ('name', 'scale', 'present_contexts'), ('kept',))
jax.tree_util.register_dataclass(Compendium, ('screens',), ('vocabulary',))


def assemble(measurements: Sequence[Measurements], scales: Sequence[str], unmeasured: Sequence[str] = ()) -> Compendium:
    """Puts the profiles of one or more screens, each with its scale, into a compendium with a shared vocabulary.

    Args:
      measurements, scales: of each screen.
      unmeasured: single perturbations that the vocabulary has beside the measured ones.

    Raises:
      InputError: a screen has a (context, perturbation) twice, two screens have the same name, a
        readout is on two scales, or a context has no control although its scale needs one.
    """
    names = [each.name for each in measurements]
    if len(set(names)) < len(names):
        raise InputError(f'two screens have the same name: {listed(sorted(names))}; give each file another name.')
    for each, scale in zip(measurements, scales, strict=True):
        _check_profiles(each, scale)
    _check_scales(measurements, scales)
    vocabulary = Vocabulary(
        contexts=tuple(sorted({str(name) for each in measurements for name in each.context})),
        perturbations=(
            CONTROL,
            *sorted({p for each in measurements for name in each.perturbation for p in parts(name)}.union(unmeasured)),
        ),
        readouts=tuple(dict.fromkeys(str(name) for each in measurements for name in each.readout)),
    )
    order = max(len(parts(name)) for each in measurements for name in set(each.perturbation)) or 1
    screens = [_encode(each, scale, vocabulary, order) for each, scale in zip(measurements, scales, strict=True)]
    return Compendium(tuple(screens), vocabulary)


def _check_profiles(measurements: Measurements, scale: str) -> None:
    profiles = pd.DataFrame({'context': measurements.context, 'perturbation': measurements.perturbation})
    twice = profiles[profiles.duplicated()]
    if len(twice):
        example = ' in '.join(twice.iloc[0][['perturbation', 'context']])
        raise InputError(
            f'{measurements.name}: {len(twice)} profiles are given twice, such as {example}; average them.'
        )
    controlled = set(profiles.context[profiles.perturbation == CONTROL])
    without = sorted(set(profiles.context) - controlled)
    if without and not find_scale(scale).control_is_zero:
        raise InputError(
            f'{measurements.name}: no control in the context {listed(without)}; name it in data.fields.control '
            f'(perturbations there are {listed(sorted(set(profiles.perturbation)))}), '
            f'give its known value in data.control_value, or declare a scale on which control is 0: '
            f'{listed(scales_of_zero())}.'
        )


def _check_scales(measurements: Sequence[Measurements], scales: Sequence[str]) -> None:
    """Raises where a readout is on two scales: models pool a readout over screens."""
    scale_of: dict[str, str] = {}
    for each, scale in zip(measurements, scales, strict=True):
        other = [name for name in map(str, each.readout) if scale_of.setdefault(name, scale) != scale]
        if other:
            raise InputError(
                f'{each.name}: {len(other)} readouts, such as {other[0]!r}, are on the scale {scale} here and on '
                f'{scale_of[other[0]]} in another screen; rename them by data.fields.readout, or use one scale.'
            )


def _encode(measurements: Measurements, scale: str, vocabulary: Vocabulary, order: int) -> Screen:
    context = vocabulary.context_ids(measurements.context)
    return Screen(
        values=np.asarray(measurements.values),
        context=context,
        perturbation=vocabulary.perturbation_ids(measurements.perturbation, order),
        readout=vocabulary.readout_ids(measurements.readout),
        cells=measurements.cells,
        standard_error=measurements.standard_error,
        halves=measurements.halves,
        name=measurements.name,
        scale=scale,
        present_contexts=tuple(int(i) for i in np.unique(context)),
        kept=measurements.kept,
    )
