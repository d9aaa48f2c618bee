"""The embeddings that another run learnt: its `embeddings.h5ad`."""

import numpy as np
from jaxtyping import Float

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.saved import read_whole

_COLUMNS = ('axis', 'name', 'training_profiles', 'model', 'split')


def read_learned_embeddings(path: str, axis: str) -> tuple[list[str], Float[np.ndarray, 'n D']]:
    """The names on that axis that had training profiles, and their vectors, of the first model and split in the file.

    Members of an ensemble turn their axes each in its own way, so no two of them are joined.

    Args:
      path: an `embeddings.h5ad`, as `--mode=embed` writes it.
      axis: perturbation, context or readout.

    Raises:
      InputError: it is no such file, or has no such names.
    """
    path = absolute(path)
    found = read_whole(path, 'embeddings of a run')
    missing = [name for name in _COLUMNS if name not in found.obs]
    if missing:
        raise InputError(f'{path}: it lacks {listed(missing)} in obs; name the embeddings.h5ad that a run wrote.')
    here = found.obs[(found.obs['axis'].astype(str) == axis) & (found.obs['training_profiles'] > 0)]
    if here.empty:
        there = listed(sorted(set(texts(found.obs['axis']))))
        raise InputError(f'{path}: it has no embeddings of the axis {axis}, of names that trained; it has {there}.')
    first = here[['model', 'split']].iloc[0]
    here = here[(here['model'] == first['model']) & (here['split'] == first['split'])]
    return list(texts(here['name'])), np.asarray(found[here.index].X, float)
