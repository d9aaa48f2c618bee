"""What another run learnt, as a source of features."""

import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.models.embedding import from_file


@pytest.fixture
def path(tmp_path):
    """Two members; MCF7 is in both, PC3 had no training profile."""
    rows = [
        ('context', 'MCF7', 5, '0/0', [1.0, 2.0]),
        ('context', 'PC3', 0, '0/0', [9.0, 9.0]),
        ('context', 'A549', 3, '0/0', [3.0, 4.0]),
        ('readout', 'x', 8, '0/0', [5.0, 6.0]),
        ('context', 'MCF7', 5, '0/1', [-2.0, 1.0]),
    ]
    obs = pd.DataFrame(
        [(axis, name, count, 'lpm', split) for axis, name, count, split, _ in rows],
        columns=['axis', 'name', 'training_profiles', 'model', 'split'],
        index=[f'{i}' for i in range(len(rows))],
    )
    data = anndata.AnnData(np.array([vector for *_, vector in rows], np.float32), obs=obs)
    data.write_h5ad(tmp_path / 'embeddings.h5ad')
    return tmp_path / 'embeddings.h5ad'


def test_the_first_member_gives_the_vectors_of_trained_names(path):
    found = from_file(f'embeddings:{path}', 'context')(('MCF-7', 'PC3', 'A549'), 2, np.dtype('float32'))
    np.testing.assert_array_equal(found, [[1, 2], [np.nan, np.nan], [3, 4]])
    found = from_file(f'embeddings:{path}', 'readout')(('x',), 2, np.dtype('float32'))
    np.testing.assert_array_equal(found, [[5, 6]])


def test_what_has_none_is_told(path, tmp_path):
    with pytest.raises(
        InputError, match='it has no embeddings of the axis perturbation, .* it has .context., .readout.'
    ):
        from_file(f'embeddings:{path}')
    anndata.AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / 'other.h5ad')
    with pytest.raises(InputError, match='other.h5ad: it lacks .axis., .* name the embeddings.h5ad that a run wrote'):
        from_file(f'embeddings:{tmp_path / "other.h5ad"}')
    with pytest.raises(InputError, match='none.h5ad'):
        from_file(f'embeddings:{tmp_path / "none.h5ad"}')
