import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.readers.sources import resolve

FIELDS = {'context': 'cell', 'perturbation': 'gene'}


@pytest.fixture
def folder(tmp_path):
    obs = pd.DataFrame({'cell': 'k', 'gene': ['control', 'A']}, index=['r0', 'r1'])
    pd.concat([obs, pd.DataFrame(np.eye(2), obs.index, ['x', 'y'])], axis=1).to_csv(tmp_path / 'a.csv', index=False)
    with pd.option_context('future.infer_string', False):
        anndata.AnnData(np.eye(2, dtype=np.float32), obs).write_h5ad(tmp_path / 'a.h5ad')
    return tmp_path


def settings(path, source, **more):
    return {'source': source, 'path': str(path), 'scale': 'log2', 'fields': FIELDS, **more}


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
def test_a_source_reads_its_screens_and_knows_its_gene_files(folder):
    table, h5ad = (
        resolve(settings(folder / f'a.{end}', source)) for end, source in (('csv', 'wide'), ('h5ad', 'h5ad'))
    )
    assert (table.gene_files, h5ad.gene_files) == ((), (str(folder / 'a.h5ad'),))
    for source in (table, h5ad):
        ((profiles, scale),) = source.read()
        assert (profiles.name, scale) == ('a', 'log2')
        np.testing.assert_array_equal(profiles.values, [[0, 1], [1, 0]])


def test_a_preset_may_name_the_source(folder):
    source = resolve({'preset': 'gears', 'path': str(folder / 'a.h5ad'), 'fields': FIELDS})
    assert source.gene_files == (str(folder / 'a.h5ad'),)


def test_all_settings_are_checked_before_any_file_is_read(folder):
    (folder / 'bad.csv').write_text('this is not a table')
    sources = {
        'first': settings(folder / 'bad.csv', 'wide'),
        'second': settings(folder / 'a.csv', 'wide', scale='lgo2'),
    }
    with pytest.raises(InputError, match="no such scale 'lgo2'"):
        load({'screens': sources})
