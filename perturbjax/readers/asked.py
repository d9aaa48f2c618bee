"""How users write perturbations in queries and in lists: in every form that the files of their config may have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from perturbjax.readers.naming.columns import text
from perturbjax.readers.naming.combinations import as_separators, matching_runs, split_known, split_names
from perturbjax.readers.naming.conditions import several
from perturbjax.readers.naming.control_words import control_matcher, is_pattern
from perturbjax.readers.naming.presets import with_preset
from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import clean
from perturbjax.screens import store
from perturbjax.screens.vocabulary import CONTROL, combine, target_gene, token

# Words that mean control in any config; GEARS writes `ctrl`.
_CONTROL = (CONTROL, 'ctrl')


class Forms(NamedTuple):
    """How perturbations may be written.

    Attributes:
      control: words and patterns that mean control.
      separators: what joins the parts of a combination.
    """

    control: tuple[str, ...] = _CONTROL
    separators: tuple[str, ...] = ('+',)


def forms_of(data: Mapping[str, Any]) -> Forms:
    """The forms that the files of a config's `data` may have, and those that may stand anywhere."""
    fields = [settings.get('fields', {}) for settings in file_settings(data)]
    control = [text(word) for each in fields for word in several(each.get('control', ()))]
    separators = [joint for each in fields for joint in as_separators(each.get('separator', '+'))]
    return Forms(tuple(dict.fromkeys((*_CONTROL, *control))), tuple(dict.fromkeys(('+', *separators))))


def file_settings(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of each source of a config's `data`, with its preset or its entry in the catalogue filled in.

    Of a prepared compendium they are those that it was made from.
    """
    if 'screens' in data:
        return [settings for each in data['screens'].values() for settings in file_settings(each)]
    if data.get('source') == 'prepared':
        return file_settings(store.made_from(data['path']))
    if data.get('source') == 'catalogue':
        # Imported here, because `python -m perturbjax.datasets.catalogue` warns if it was imported before.
        from perturbjax.datasets import catalogue

        return file_settings(catalogue.settings(**{name: data[name] for name in data if name != 'source'}))
    return [with_preset(**data)]


class KnownNames:
    """The single perturbations that there are, to be found however a user writes them."""

    def __init__(self, perturbations: Sequence[str], forms: Forms):
        """Takes the single perturbations as the vocabulary writes them."""
        self._forms, self._is_control = forms, control_matcher(forms.control)
        self._typed = set(perturbations)
        self._untyped: dict[str, list[str]] = {}
        for name in perturbations:
            self._untyped.setdefault(target_gene(name), []).append(name)

    def parts(self, name: str) -> list[str]:
        """The parts of a perturbation as the user wrote them, without control; of what is unknown the name."""
        name = clean(name)
        if self._is_control(name):
            return []
        if self._options(name):
            return [name]
        joints = [each for each in self._forms.separators if each != '_']
        found = [part.strip() for part in split_names([name], joints, (), '')[0]]
        if '_' in self._forms.separators:
            found = [part for each in found for part in ([each] if self._options(each) else self._split(each))]
        return [part for part in found if not self._is_control(part)]

    def _split(self, name: str) -> tuple[str, ...]:
        """The known names that a name joins by `_`, or the name."""
        known = {*self._untyped, *self._typed, *self._forms.control}
        for pattern in filter(is_pattern, self._forms.control):
            known |= matching_runs([name], pattern)
        return split_known(name, known)

    def plain(self, name: str) -> str:
        """The name of a perturbation whose parts have the type that the user wrote, or none."""
        return combine(self._dosed(part) for part in self.parts(name)) if clean(name) else ''

    def find(self, name: str) -> str:
        """The perturbation that the user means; a part that is unknown, or may be several, stays as it is."""
        options = [(part, self._options(part)) for part in self.parts(name)]
        found = [each[0] if len(each) == 1 else part for part, each in options]
        return combine(found) if clean(name) else ''

    def unclear(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The parts without a type that may be several perturbations, and which."""
        options = {part: self._options(part) for name in names for part in self.parts(name)}
        return {part: each for part, each in options.items() if len(each) > 1}

    def _options(self, part: str) -> list[str]:
        """The perturbations that a part may be."""
        for spelling in (part, self._dosed(part), token(part)):
            if spelling in self._typed:
                return [spelling]
            if spelling in self._untyped:
                return self._untyped[spelling]
        return []

    def _dosed(self, part: str) -> str:
        """The part with its dose, if it ends in one, as names show it."""
        name, dose = name_and_dose(part)
        return f'{name}-{dose}' if dose and part not in self._typed and part not in self._untyped else part
