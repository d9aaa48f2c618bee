"""What a config asks of the embeddings, and whether it can be asked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from perturbjax.errors import InputError, check_settings, did_you_mean
from perturbjax.readers.naming.fields import Fields

AXES = ('perturbation', 'readout')


class Study(NamedTuple):
    """The questions; the `analysis` part of a config.

    Attributes:
      targets: path of a table of compounds with the column `targets`; see `targets.target_recall`.
      mechanisms: path of a table of compounds with the column `mechanism`; see `mechanisms.mechanism_agreement`.
      pairs: tables or .gmt files of gene pairs, by a name for the results; see `closeness.pair_closeness`.
        For genes that were read out instead of perturbed, give `{'path': ..., 'axis': 'readout'}`.
      sets: tables or .gmt files of gene sets in the same form; see `probe.probe_sets`.
      networks: by a name for the results, settings of `completed_networks.completed_networks`, such as
        `{'context': 'K562', 'path': 'cells.h5ad', 'fields': {...}}`.
      what_if: a list of questions `{'context': ..., 'readout': ...}`; see `whatif.what_if`.
    """

    targets: str = ''
    mechanisms: str = ''
    pairs: Mapping[str, Any] = {}
    sets: Mapping[str, Any] = {}
    networks: Mapping[str, Any] = {}
    what_if: Sequence[Mapping[str, Any]] = ()


def check_study(asked: Study) -> None:
    """Raises InputError on a setting within a question that nothing reads, or that is missing."""
    for field in ('pairs', 'sets'):
        for name, file in getattr(asked, field).items():
            if not isinstance(file, str):
                check_settings(_file, file, f'analysis.{field}.{name}')
        files_of(getattr(asked, field))
    if asked.networks or asked.what_if:
        # They take long to import, and few configs ask for them.
        from perturbjax.analysis.completed_networks import completed_networks
        from perturbjax.analysis.whatif import what_if
    for name, settings in asked.networks.items():
        field = f'analysis.networks.{name}'
        check_settings(completed_networks, settings, field, given=('folders', 'compendium', 'training', 'models'))
        check_settings(Fields, settings['fields'], f'{field}.fields')
    for question in asked.what_if:
        check_settings(what_if, question, 'analysis.what_if', given=('folders', 'compendium', 'models'))


def files_of(asked: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The path and the axis of each file, by name."""
    return {name: _file(file) if isinstance(file, str) else _file(**file) for name, file in asked.items()}


def _file(path: str, axis: str = AXES[0]) -> tuple[str, str]:
    if axis not in AXES:
        raise InputError(f'{path}: analysis axis: there is no axis {axis!r}; {did_you_mean(axis, AXES)}')
    return path, axis
