"""HDF5 files that declare far more than they hold, or that take their values from another file."""

from typing import Any

import h5py

from perturbjax.errors import InputError

# An array may be this large whatever the file holds, in bytes; above, so many times what is stored of the file.
_ALWAYS, _TIMES = 2**30, 10_000


def refuse_unheld(file: h5py.File, path: str) -> None:
    """Raises InputError on an array that could not come from a file of this size, before anything is read.

    Args:
      file: as it is open; where it was compressed, this is the unpacked copy.
      path: the file as the user named it, for messages.
    """
    size = file.id.get_filesize()
    most = max(_ALWAYS, _TIMES * size)

    def check(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        if node.external:
            raise InputError(f'{path}: {name} takes its values from another file; save it with its values.')
        if node.size is not None and node.size * node.dtype.itemsize > most:
            raise InputError(
                f'{path}: {name} declares the shape {node.shape}, of which a file of {size} bytes '
                'can hold next to nothing; it is damaged or made to fill the memory.'
            )

    file.visititems(check)
