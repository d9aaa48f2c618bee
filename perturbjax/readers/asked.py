"""How users write perturbations in queries and in lists: in every form that the files of their config may have."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from perturbjax.readers.naming.columns import text
from perturbjax.readers.naming.conditions import several
from perturbjax.readers.naming.control_words import control_matcher, is_pattern
from perturbjax.readers.naming.presets import with_preset
from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import clean, loose
from perturbjax.readers.naming.splitting import as_separators, matching_runs, split_known, split_names
from perturbjax.screens import store
from perturbjax.screens.vocabulary import CONTROL, Vocabulary, combine, target_gene, token

# Words that mean control in any config; GEARS writes `ctrl`.
_CONTROL = (CONTROL, 'ctrl')


class Forms(NamedTuple):
    """How perturbations may be written.

    Attributes:
      control: words and patterns that mean control.
      separators: what joins the parts of a combination.
      merge_alike: names that look alike are one.
    """

    control: tuple[str, ...] = _CONTROL
    separators: tuple[str, ...] = ('+',)
    merge_alike: bool = False


def forms_of(data: Mapping[str, Any]) -> Forms:
    """The forms that the files of a config's `data` may have, and those that may stand anywhere."""
    fields = [settings.get('fields', {}) for settings in file_settings(data)]
    control = [text(word) for each in fields for word in several(each.get('control', ()))]
    separators = [joint for each in fields for joint in as_separators(each.get('separator', '+'))]
    return Forms(
        control=tuple(dict.fromkeys((*_CONTROL, *control))),
        separators=tuple(dict.fromkeys(('+', *separators))),
        merge_alike=any(each.get('merge_alike', False) for each in fields),
    )


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
    """The contexts and single perturbations that there are, to be found however a user writes them."""

    def __init__(self, vocabulary: Vocabulary, forms: Forms):
        """Takes the names as the vocabulary writes them."""
        self._forms, self._is_word = forms, control_matcher(forms.control)
        singles = vocabulary.perturbations[1:]
        self._typed = set(singles)
        self._untyped = _by(target_gene, singles)
        # Where names that look alike are one, a name is also found by what it looks like.
        merged = forms.merge_alike
        self._contexts = _by(loose, vocabulary.contexts) if merged else {}
        self._words = {loose(word) for word in forms.control if not is_pattern(word)} if merged else set()
        self._alike = _by(loose, self._untyped) | _by(loose, singles) if merged else {}

    def context(self, name: str) -> str:
        """The context that the user means; an unknown one stays as it is."""
        name = clean(name)
        found = self._contexts.get(loose(name), []) if self._contexts else []
        return found[0] if len(found) == 1 else name

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

    def _is_control(self, name: str) -> bool:
        return self._is_word(name) or (bool(self._words) and loose(name) in self._words)

    def _split(self, name: str) -> tuple[str, ...]:
        """The known names that a name joins by `_`, or the name."""
        known = {*self._untyped, *self._typed, *self._forms.control}
        for pattern in filter(is_pattern, self._forms.control):
            known |= matching_runs([name], pattern)
        return split_known(name, known)

    def plain(self, name: str) -> str:
        """The name of a perturbation whose parts have the type that the user wrote, or none."""
        return combine(self._spelled(self._dosed(part)) for part in self.parts(name)) if clean(name) else ''

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
        one = self._spelled(self._dosed(part))
        return [one] if one in self._typed else self._untyped.get(one, [])

    def _spelled(self, part: str) -> str:
        """A part with the spelling of the one name, with a type or without, that it looks like."""
        found = [] if part in self._typed or part in self._untyped else self._alike.get(loose(part), [])
        return found[0] if len(found) == 1 else part

    def _dosed(self, part: str) -> str:
        """The part with its dose, if it ends in one, as names show it."""
        name, dose = name_and_dose(part)
        return f'{name}-{dose}' if dose and part not in self._typed and part not in self._untyped else part


def _by(key: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    """The names by what `key` makes of them."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return found
