"""What a config may ask of `--mode=next`."""

from typing import NamedTuple

from perturbjax.errors import check_range


class Next(NamedTuple):
    """How the next measurements are chosen.

    Attributes:
      batch: how many pairs of context and perturbation.
      model: the label of the model whose predictions are to become more certain: `two_way`, `kernel`, or a learned
        model with several members. Empty: the last of the config that is one of the first two, or else the last with
        members.
      pairs: whether pairs of the parts of measured combinations are candidates too.
    """

    batch: int = 24
    model: str = ''
    pairs: bool = False


def check_next(settings: Next) -> None:
    """Raises InputError on a batch of none."""
    check_range('next', 1, batch=settings.batch)
