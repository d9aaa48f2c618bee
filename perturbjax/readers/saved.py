"""Reader of screens that `interop.screens` wrote: complete profiles, which are not averaged again."""

import warnings

import anndata
import numpy as np

from perturbjax.errors import InputError, listed
from perturbjax.readers.hdf5 import open_hdf5
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.naming.templates import filled
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.scales import find_scale
from perturbjax.screens.vocabulary import combine, parts

# What a file has besides X, context and perturbation.
CELLS = 'cells'
ERROR = 'standard_error'
HALVES = ('first_half', 'second_half')
ABOUT = ('screen', 'scale')


def read_saved(path: str) -> tuple[Measurements, str]:
    """The profiles of a saved screen, equal to the bit to those written, and their scale.

    Raises InputError where the file is something else or damaged, or was changed so that its parts do not fit.
    """
    data = read_whole(path, 'a saved screen')
    lacking = [f'uns[{name!r}]' for name in ABOUT if name not in data.uns]
    if lacking or data.X is None:
        raise InputError(f"{path}: is no saved screen, it has no {listed(lacking or 'X')}; its source may be 'h5ad'.")
    context, names = (filled(data.obs, name, path, 'obs') for name in ('context', 'perturbation'))
    find_scale(str(data.uns['scale']))
    halves = [_block(data, half, path) for half in HALVES if half in data.layers]
    profiles = Measurements(
        name=str(data.uns['screen']),
        values=_block(data, None, path),
        context=context,
        perturbation=np.array([combine(parts(name)) for name in names], object),
        readout=texts(data.var_names),
        cells=_cells(data, path) if CELLS in data.obs else None,
        standard_error=_block(data, ERROR, path) if ERROR in data.layers else None,
        halves=np.stack(halves) if len(halves) == len(HALVES) else None,
    )
    return profiles, str(data.uns['scale'])


def read_whole(path: str, what: str) -> anndata.AnnData:
    """A file that this package wrote, all of it in memory; raises InputError where it is damaged, no such file of ours.

    `what` it should be is for messages.
    """
    with open_hdf5(path, what), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # anndata warns of repeated names
        try:
            return anndata.read_h5ad(path)
        except Exception as error:  # anndata's own errors have no public base class
            reason = str(error).partition('\n')[0]
            raise InputError(f'{path}: cannot be read as {what}, because it is damaged ({reason}).') from error


def _block(data: anndata.AnnData, layer: str | None, path: str) -> np.ndarray:
    """X, or that layer, `[N, M]`."""
    values = data.X if layer is None else data.layers[layer]
    if not isinstance(values, np.ndarray) or values.dtype.kind != 'f':
        raise InputError(f'{path}: {layer or "X"} of a saved screen must be dense numbers; save the screen again.')
    return values


def _cells(data: anndata.AnnData, path: str) -> np.ndarray:
    cells = data.obs[CELLS].to_numpy()
    if cells.dtype.kind not in 'iu' or (cells < 1).any():
        raise InputError(f'{path}: {CELLS!r} of a saved screen must be whole numbers from 1; save the screen again.')
    return cells.astype(np.int32)
