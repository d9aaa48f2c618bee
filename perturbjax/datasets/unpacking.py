"""What is made of a download so that a reader can read it: one file out of an archive, or a table out of a workbook."""

import pathlib
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import combine

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError)
_CHUNK = 2**20
_GI_SHEET = 'gene GI scores and correlations'


def take_out(archive: pathlib.Path, target: pathlib.Path) -> None:
    """Writes to `target` the one file of the archive (zip or tar) that has its name, in whatever folder.

    Nothing else is unpacked, so no path that the archive tells is ever written to.
    Raises InputError where no file or several have the name, or the archive is damaged.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _copy_one(archive, opened.namelist(), opened.open, target)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _copy_one(archive, [each.name for each in tar if each.isfile()], tar.extractfile, target)
        else:
            raise InputError(f'{archive}: is no zip or tar archive; delete it and fetch again.')
    except _DAMAGED as error:
        raise InputError(f'{archive}: cannot be unpacked ({error}); delete it and fetch again.') from error


def _copy_one(archive: pathlib.Path, names: Sequence[str], opener: Callable[[str], Any], target: pathlib.Path) -> None:
    found = [name for name in names if re.split(r'[/\\]', name)[-1] == target.name]
    if len(found) != 1:
        raise InputError(f'{archive}: {len(found)} files in it are named {target.name}; there should be one.')
    with opener(found[0]) as source, open(target, 'wb') as file:
        shutil.copyfileobj(source, file, _CHUNK)


def gi_scores(workbook: pathlib.Path, target: pathlib.Path) -> None:
    """Writes to `target`, as a long CSV, the GI scores of gene pairs in Table S5 of Horlbeck et al. 2018.

    Their sheet has two columns of genes and three lines of headings: cell line, replicate (here
    the average) and quantity. Raises InputError where the workbook is another.
    """
    try:
        sheet = pd.read_excel(workbook, sheet_name=_GI_SHEET, header=None)
    except ImportError as error:
        raise InputError("Excel workbooks need openpyxl; pip install 'perturbjax[download]'.") from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f'{workbook}: cannot be read as Table S5 ({error}); delete it and fetch again.') from error
    lines, replicates, quantities = (sheet.iloc[line].ffill() for line in range(3))
    wanted = sheet.columns[(replicates == 'Replicate Average') & (quantities == 'GI score')]
    if sorted(lines[wanted]) != ['Jurkat', 'K562']:
        raise InputError(f'{workbook}: {_GI_SHEET!r} has no average GI score of K562 and Jurkat; delete it.')
    pairs = sheet.iloc[3:].assign(first=sheet[0].ffill()).dropna(subset=['first', 1])  # the first may be merged cells
    names = [combine(pair) for pair in zip(pairs['first'], pairs[1])]
    columns = {'perturbation': names, 'readout': 'growth GI'}
    tables = [pd.DataFrame({'context': lines[each], **columns, 'value': pairs[each]}) for each in wanted]
    pd.concat(tables).dropna().to_csv(target, index=False)
