"""Makes readable files from downloads: one file out of an archive, or a table out of a workbook."""

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


def take_out(archive: pathlib.Path, output: pathlib.Path) -> None:
    """Writes to `output` the one file of the archive (zip or tar) that has the same name, in any folder of it.

    Nothing else is unpacked, so nothing is written to a path from the archive. Raises InputError where
    the archive is damaged, or does not have exactly one file of that name.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _copy_one(archive, opened.namelist(), opened.open, output)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _copy_one(archive, [each.name for each in tar if each.isfile()], tar.extractfile, output)
        else:
            raise InputError(f'{archive}: this is not a zip or tar archive; delete it and fetch again.')
    except _DAMAGED as error:
        raise InputError(f'{archive}: cannot be unpacked ({error}); delete it and fetch again.') from error


def _copy_one(archive: pathlib.Path, names: Sequence[str], opener: Callable[[str], Any], output: pathlib.Path) -> None:
    found = [name for name in names if re.split(r'[/\\]', name)[-1] == output.name]
    if len(found) != 1:
        raise InputError(f'{archive}: {len(found)} files in it are named {output.name}; there should be one.')
    with opener(found[0]) as source, open(output, 'wb') as file:
        shutil.copyfileobj(source, file, _CHUNK)


def gi_scores(workbook: pathlib.Path, output: pathlib.Path) -> None:
    """Writes the genetic interaction scores in Table S5 of Horlbeck et al. 2018 to `output`, as a long CSV.

    The sheet has two columns of genes and three lines of headings: cell line, replicate (the average is
    used) and quantity. Raises InputError where the workbook is a different one.
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
        raise InputError(
            f'{workbook}: {_GI_SHEET!r} has no average GI score of K562 and Jurkat; delete it and fetch again.'
        )
    pairs = (
        sheet.iloc[3:].assign(first=sheet[0].ffill()).dropna(subset=['first', 1])
    )  # cells of the first may be merged
    names = [combine(pair) for pair in zip(pairs['first'], pairs[1])]
    columns = {'perturbation': names, 'readout': 'growth GI'}
    tables = [pd.DataFrame({'context': lines[each], **columns, 'value': pairs[each]}) for each in wanted]
    pd.concat(tables).dropna().to_csv(output, index=False)
