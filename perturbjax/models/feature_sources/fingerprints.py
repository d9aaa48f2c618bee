"""Vectors of compounds from their structures: the main axes of Morgan fingerprints (Rogers and Hahn 2010)."""

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float

from perturbjax.errors import InputError, listed
from perturbjax.models.feature_sources.main_axes import places

_RADIUS, _BITS = 2, 2048


def structure_vectors(names: Sequence[str], smiles: Sequence[str], path: str) -> Float[np.ndarray, 'n R']:
    """Where compounds lie on the main axes of their fingerprints; NaN where a structure cannot be read, which is told.

    Args:
      names, smiles: of each compound.
      path: of the file, for messages.
    """
    bits = [_fingerprint(each) for each in smiles]
    unreadable = [name for name, found in zip(names, bits, strict=True) if found is None]
    if unreadable:
        _warn_once(
            f'{path}: the structures of {len(unreadable)} compounds cannot be read, so they have no features: '
            f'{listed(unreadable)}; correct their SMILES.'
        )
    is_read = np.array([each is not None for each in bits], bool)
    table = np.array([each for each in bits if each is not None], float).reshape(-1, _BITS)
    table -= table.mean(axis=0) if len(table) else 0
    found = places(table @ table.T)
    vectors = np.full((len(names), found.shape[1]), np.nan)
    vectors[is_read] = found
    return vectors


@functools.cache
def _warn_once(text: str) -> None:
    """All splits of a run have the same compounds."""
    logging.warning('%s', text)


def check_rdkit(path: str) -> None:
    """Raises InputError, naming the file that needs it, where rdkit is not installed."""
    try:
        _rdkit('Chem')
    except ImportError as error:
        raise InputError(f"{path}: fingerprints of structures need rdkit; pip install 'perturbjax[chem]'.") from error


def _fingerprint(smiles: str) -> np.ndarray | None:
    """Which of the bits a structure has; None where it cannot be read."""
    with _rdkit('rdBase').BlockLogs():  # they are told by name
        molecule = _rdkit('Chem').MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return None
    generators = _rdkit('Chem.rdFingerprintGenerator')
    return generators.GetMorganGenerator(radius=_RADIUS, fpSize=_BITS).GetFingerprintAsNumPy(molecule)


def _rdkit(module: str) -> Any:
    return importlib.import_module(f'rdkit.{module}')
