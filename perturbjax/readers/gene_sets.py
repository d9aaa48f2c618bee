"""Gene sets in .gmt files, as MSigDB, Enrichr and Reactome have them."""

import pandas as pd

from perturbjax.errors import InputError
from perturbjax.readers.compressed import BROKEN, open_text, plain_name


def is_gmt(path: str) -> bool:
    """Whether the name says .gmt, compressed or not."""
    return plain_name(path).endswith('.gmt')


def read_gmt(path: str) -> pd.DataFrame:
    """A line for each member of a set: columns `set` and `gene`, each pair once.

    Raises InputError where the file cannot be read, or a line of it has no genes.
    """
    try:
        with open_text(path) as file:
            lines = [line.rstrip('\r\n').split('\t') for line in file if line.strip()]
    except BROKEN as error:
        raise InputError(f'{path}: cannot be read as gene sets ({error}).') from error
    short = [number for number, line in enumerate(lines, start=1) if len(line) < 3]
    if short or not lines:
        where = f'line {short[0]}' if short else 'the file'
        raise InputError(f'{path}: {where} has no genes; a line is a name, a description and genes, separated by tabs.')
    pairs = [(line[0], gene) for line in lines for gene in line[2:] if gene]
    return pd.DataFrame(pairs, columns=['set', 'gene'], dtype=object).drop_duplicates(ignore_index=True)
