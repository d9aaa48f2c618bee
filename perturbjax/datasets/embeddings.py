"""Published embedding tables of genes by name: the three of the LPM paper.

    python -m perturbjax.datasets.catalogue fetch reactome

The addresses are those of public code (perturblib). The tables were not downloaded here.
"""

import os
import pathlib
import tempfile
from typing import NamedTuple

from perturbjax.datasets.download import File, cache_folder, check_fetched, obtain_all
from perturbjax.errors import InputError, did_you_mean


class Table(NamedTuple):
    """An embedding table.

    Attributes:
      title: a short description.
      files: what to download; of two files the first has the names and the second the vectors, a line for each.
      citation: the paper.
      page: a web page that describes it.
    """

    title: str
    files: tuple[File, ...]
    citation: str
    page: str


_GENE2VEC = 'gene2vec_dim_200_iter_9_w2v.txt'
_MASHUP = 'https://groups.csail.mit.edu/cb/mashup/vectors'

TABLES = {
    'gene2vec': Table(
        'Gene2Vec, 200 numbers for each gene, from co-expression',
        (File(_GENE2VEC, f'https://github.com/jingcheng-du/Gene2vec/raw/7617af7/pre_trained_emb/{_GENE2VEC}'),),
        'Du et al. 2019, BMC Genomics 20:82, doi:10.1186/s12864-018-5370-x',
        'https://github.com/jingcheng-du/Gene2vec',
    ),
    'reactome': Table(
        'Reactome, the pathways that each gene is in',
        (File('ReactomePathways.gmt.zip', 'https://reactome.org/download/current/ReactomePathways.gmt.zip'),),
        'Milacic et al. 2024, Nucleic Acids Research 52:D672, doi:10.1093/nar/gkad1025',
        'https://reactome.org/download-data',
    ),
    'string': Table(
        'STRING by Mashup, 800 numbers for each human gene',
        (
            File('string_human_genes.txt', f'{_MASHUP}/string_human_genes.txt'),
            File('string_human_mashup_vectors_d800.txt', f'{_MASHUP}/string_human_mashup_vectors_d800.txt'),
        ),
        'Cho et al. 2016, Cell Systems 3:540, doi:10.1016/j.cels.2016.10.017',
        'https://cb.csail.mit.edu/cb/mashup/',
    ),
}


def embedding_file(name: str, cache: str = '') -> str:
    """The path of a table that was fetched, for `embedding`, `perturbation_embedding` or `features` of a model.

    Args:
      name: one of `TABLES`.
      cache: the folder; `''` for PERTURBJAX_CACHE, or else the user's own cache.

    Raises:
      InputError: there is no such table, or it is not in the cache.
    """
    path = _path(name, cache)
    check_fetched(path, name, cache)
    return str(path)


def fetch_embedding(name: str, cache: str = '', mirror: str = '') -> str:
    """Downloads a table if it is not in the cache, and gives its path.

    Args:
      name, cache: see `embedding_file`.
      mirror: the address of a cache on a web server, to download from instead.

    Raises:
      InputError: a file cannot be downloaded whole, or is another than at first.
    """
    path = _path(name, cache)
    parts = obtain_all(TABLES[name].files, name, cache, mirror)
    if len(parts) > 1:
        _join(parts[0], parts[1], path)
    return str(path)


def describe(name: str) -> str:
    """Everything that is known of a table."""
    table = TABLES[name]
    lines = [f'{name}: {table.title}', *(f'  file      {file.address} (no checksum known)' for file in table.files)]
    return '\n'.join([*lines, f'  cite      {table.citation}', f'  page      {table.page}'])


def _path(name: str, cache: str) -> pathlib.Path:
    if name not in TABLES:
        raise InputError(f'embeddings: there is no table {name!r}; {did_you_mean(name, TABLES)}')
    files = TABLES[name].files
    return cache_folder(cache) / name / (files[0].name if len(files) == 1 else f'{name}.txt')


def _join(names: pathlib.Path, vectors: pathlib.Path, path: pathlib.Path) -> None:
    """Writes each name and its vector on one line; the file is whole or not there."""
    both = names.read_text().splitlines(), vectors.read_text().splitlines()
    if len(both[0]) != len(both[1]):
        raise InputError(f'{vectors}: it has {len(both[1])} lines for {len(both[0])} names; fetch both again.')
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = pathlib.Path(folder) / path.name
        made.write_text(''.join(f'{name.strip()}\t{vector}\n' for name, vector in zip(*both, strict=True)))
        os.replace(made, path)
