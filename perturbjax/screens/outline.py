"""The form of a compendium without its values: what a checkpoint keeps to know the structure of its params."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary


def outline(compendium: Compendium) -> list[dict[str, Any]]:
    """Name, scale, contexts and sizes of each screen, as plain values."""
    return [
        {
            'name': screen.name,
            'scale': screen.scale,
            'present_contexts': list(screen.present_contexts),
            'profiles': len(screen.context),
            'order': screen.perturbation.shape[1],
            'readouts': len(screen.readout),
        }
        for screen in compendium.screens
    ]


def from_outline(vocabulary: Vocabulary, screens: Sequence[Mapping[str, Any]]) -> Compendium:
    """A compendium of that form whose arrays have shapes and no values, for `jax.eval_shape`."""

    def shaped(dtype: type, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    return Compendium(
        tuple(
            Screen(
                values=shaped(np.float32, each['profiles'], each['readouts']),
                context=shaped(np.int32, each['profiles']),
                perturbation=shaped(np.int32, each['profiles'], each['order']),
                readout=shaped(np.int32, each['readouts']),
                cells=None,
                standard_error=None,
                halves=None,
                name=each['name'],
                scale=each['scale'],
                present_contexts=tuple(each['present_contexts']),
            )
            for each in screens
        ),
        vocabulary,
    )
