"""What reading files told: collected when data are prepared, and told again by every run that starts from them."""

import contextlib
import logging as standard_logging
import os
from collections.abc import Iterator

from absl import logging

from perturbjax.screens import store
from perturbjax.screens.screen import Compendium


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Collects, in the list that it gives, the warnings that are given meanwhile; they are shown as ever."""
    sentences: list[str] = []
    handler = standard_logging.Handler(standard_logging.WARNING)
    handler.emit = lambda record: sentences.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.get_absl_logger()
    logger.addHandler(handler)
    try:
        yield sentences
    finally:
        logger.removeHandler(handler)


def read_prepared(folder: str | os.PathLike) -> Compendium:
    """The prepared compendium in the folder; what was told when it was prepared is told again.

    Raises InputError as `store.read` does.
    """
    compendium = store.read(folder)
    for sentence in store.told(folder):
        logging.warning('%s', sentence)
    return compendium
