import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse

from perturbjax.screens import blocks


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize('entries', [1, 7, 1000])
def test_blocks_put_together_are_the_values(monkeypatch, form, entries):
    monkeypatch.setattr(blocks, 'ENTRIES', entries)
    values = np.arange(60.0).reshape(12, 5) % 3
    found = np.full(values.shape, np.nan)
    for block in blocks.blocks(form(values), 'screen'):
        part = block.values.toarray() if scipy.sparse.issparse(block.values) else block.values
        assert np.count_nonzero(part) < entries + values.shape[1]
        found[block.rows, block.columns] = part
    np.testing.assert_array_equal(found, values)


@hypothesis.given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 20))
@hypothesis.settings(max_examples=50)
def test_edges_cut_rows_into_blocks_of_bounded_size(lengths, entries):
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, 'ENTRIES', entries)
        cuts = blocks.edges(indptr)
    assert (cuts[0], cuts[-1]) == (0, len(lengths))
    assert (np.diff(cuts) > 0).all()
    # At most one row more than is allowed: a row is never cut.
    assert (np.diff(indptr[cuts]) <= entries + max(lengths)).all()


def test_a_stored_matrix_is_read_anew_each_time():
    calls = []

    def read():
        calls.append(1)
        for row in range(3):
            yield blocks.Block(slice(row, row + 1), slice(0, 2), np.full((1, 2), row, np.float32))

    stored = blocks.Stored((3, 2), read)
    for _ in range(2):
        np.testing.assert_array_equal(blocks.whole(stored), [[0, 0], [1, 1], [2, 2]])
    assert len(calls) == 2


def test_what_is_in_memory_stays_as_it_is():
    values = np.ones((2, 2))
    assert blocks.whole(values) is values
