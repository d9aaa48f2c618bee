"""Gives a gene the same name in all screens, whether they use symbols, Ensembl ids, versions or other capitals.

It is off unless a config asks for it, because only a user who knows the screens can say that two names
mean the same gene.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean
from perturbjax.readers.naming.genes import ensembl_id, read_gene_table, read_genes
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import combine, parts, perturbation_type, target_gene, token

Rename = Callable[[str], str]

_NAMINGS = ('symbol', 'ensembl')
# How readers name a readout that shares its name with another: `TBCE (ENSG00000284770)`.
_SHARED = re.compile(r'(.+) \((.+)\)')


def harmonise(
    screens: Sequence[Measurements], files: Iterable[str] = (), genes: str = 'symbol', table: str = ''
) -> list[Measurements]:
    """Gives readouts and perturbed genes the same names in all screens; a warning counts the names that change.

    Ids lose their version (`ENSG00000115415.20`). A symbol that is known to belong to exactly one id
    gets the same name as that id. Symbols that differ only in capitals get the spelling of the first,
    so the screens must be of one species. Readouts of a screen that turn out to be the same gene are
    averaged. Compounds keep their names.

    Args:
      screens: profiles.
      files: files of the screens; h5ad files may have both the symbol and the id of their readouts.
      genes: how genes are named, `symbol` or `ensembl`; a gene without such a name keeps its own.
      table: a file with a column of symbols and one of Ensembl ids; it takes precedence over `files`.

    Raises:
      InputError: there is no such choice or no such columns, or two perturbations of a screen get the
        same name.
    """
    if genes not in _NAMINGS:
        raise InputError(f'data.harmonise.genes: no such choice {genes!r}; {did_you_mean(genes, _NAMINGS)}')
    known = [read_gene_table(table)] if table else []
    known += [read_genes(file) for file in files if file.endswith('.h5ad')]
    pairs = [pair for each in known for pair in zip(each['symbol'], each['ensembl'])]
    named = [str(name) for screen in screens for name in screen.readout]
    named += [target_gene(part) for screen in screens for part in _genes(screen)]
    rename = _renaming(pairs, named, genes)
    return [_rename(screen, rename) for screen in screens]


def _renaming(pairs: Sequence[tuple[str, str]], named: Sequence[str], genes: str) -> Rename:
    """A function from the old name of a gene to its new name.

    Args:
      pairs: symbols with their ids.
      named: all names of genes in the screens.
      genes: `symbol` or `ensembl`.
    """
    ids: dict[str, set[str]] = {}
    symbols: dict[str, str] = {}
    for symbol, gene in pairs:
        ids.setdefault(symbol.casefold(), set()).add(gene)
        symbols.setdefault(gene, symbol)
    spelled: dict[str, str] = {}
    for name in [*symbols.values(), *named]:
        spelled.setdefault(name.casefold(), name)

    def rename(name: str) -> str:
        symbol, gene = _read(name)
        of_symbol = ids.get(symbol.casefold(), set())
        gene = gene or (next(iter(of_symbol)) if len(of_symbol) == 1 else '')
        if genes == 'ensembl' and gene:
            return gene
        name = symbols.get(gene, symbol or gene)
        return spelled.get(name.casefold(), name)

    return rename


def _read(name: str) -> tuple[str, str]:
    """The symbol and the id in a name; `''` for the one that it does not have."""
    shared = _SHARED.fullmatch(name)
    if shared and ensembl_id(shared[2]):
        return shared[1], ensembl_id(shared[2])
    return ('', ensembl_id(name)) if ensembl_id(name) else (name, '')


def _genes(screen: Measurements) -> list[str]:
    """The parts of perturbations that are or may be genes, without repeats."""
    found = dict.fromkeys(part for name in dict.fromkeys(screen.perturbation) for part in parts(name))
    return [part for part in found if perturbation_type(part) != 'Compound']


def _rename(screen: Measurements, rename: Rename) -> Measurements:
    readout = np.array([rename(str(name)) for name in screen.readout], object)
    part = {name: token(rename(target_gene(name)), perturbation_type(name)) for name in _genes(screen)}
    whole = {name: combine(part.get(each, each) for each in parts(name)) for name in dict.fromkeys(screen.perturbation)}
    perturbation = np.array([whole[name] for name in screen.perturbation], object)
    _check_profiles(screen, perturbation)
    renamed = int((readout != screen.readout).sum()), sum(name != new for name, new in part.items())
    merged = len(readout) - len(set(readout))
    if any(renamed):
        logging.warning(
            '%s: data.harmonise: %d of %d readouts and %d of %d perturbed genes get another name; '
            '%d readouts are the same gene as another and are averaged with it.',
            *(screen.name, renamed[0], len(readout), renamed[1], len(part), merged),
        )
    return _merge(dataclasses.replace(screen, perturbation=perturbation), readout)


def _check_profiles(screen: Measurements, perturbation: np.ndarray) -> None:
    table = pd.DataFrame({'context': screen.context, 'now': perturbation, 'before': screen.perturbation})
    twice = table[table.duplicated(['context', 'now'], keep=False)].sort_values(['context', 'now'])
    if len(twice):
        raise InputError(
            f'{screen.name}: data.harmonise: {twice.before.iloc[0]!r} and {twice.before.iloc[1]!r} of '
            f'{twice.context.iloc[0]!r} both become {twice.now.iloc[0]!r}; give them the same name in the file.'
        )


def _merge(screen: Measurements, readout: np.ndarray) -> Measurements:
    """The screen with the new names of its readouts; readouts with the same name are averaged where measured.

    The standard error of the mean is taken as the mean of the standard errors. That is its largest
    possible value, which it has where the readouts err together.
    """
    codes, names = pd.factorize(readout)
    if len(names) == len(readout):
        return dataclasses.replace(screen, readout=readout)
    arrays = {name: getattr(screen, name) for name in ('values', 'standard_error', 'halves')}
    merged: dict[str, Any] = {name: each if each is None else _mean(each, codes) for name, each in arrays.items()}
    return dataclasses.replace(screen, readout=np.array(names, object), **merged)


def _mean(array: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The mean over the columns with the same code, from `[..., M]` to `[..., number of codes]`."""
    rows = pd.DataFrame(array.reshape(-1, len(codes)).T).groupby(codes).mean().to_numpy().T
    return np.ascontiguousarray(rows.reshape(*array.shape[:-1], -1).astype(array.dtype))
