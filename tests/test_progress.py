import io

from perturbjax import progress


def test_a_bar_counts_and_names_what_it_counts(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr('sys.stderr', stream)
    with progress.bar('reading', 2000, done=500, unit=' values') as bar:
        bar.update(1500)
    assert 'reading: 100%' in stream.getvalue()
    assert '2.00k/2.00k' in stream.getvalue()


def test_what_is_over_soon_has_no_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr('sys.stderr', stream)
    with progress.bar('reading', 2, delay=60) as bar:
        bar.update(2)
    assert stream.getvalue() == ''
