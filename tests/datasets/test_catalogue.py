import ast
import dataclasses
import hashlib
import http.server
import io
import pathlib
import runpy
import sys
import tarfile
import threading
import types
import warnings
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem

from perturbjax.datasets import catalogue, embeddings, transfer
from perturbjax.datasets.download import File, obtain
from perturbjax.datasets.unpacking import gi_scores, take_out
from perturbjax.errors import InputError, check_settings
from perturbjax.readers.loading import load
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.presets import with_preset
from perturbjax.readers.sources import READERS
from perturbjax.screens.scales import find_scale

DATA = np.random.default_rng(0).bytes(50_000)


@dataclasses.dataclass
class Page:
    """How the server answers for one path.

    `breaks`: after how many bytes it hangs up, one number for each request; later ones get all.
    `statuses`: other statuses, likewise. `honest`: whether it tells the length.
    """

    content: bytes = b''
    breaks: list = dataclasses.field(default_factory=list)
    statuses: list = dataclasses.field(default_factory=list)
    location: str = ''
    ranges: bool = True
    honest: bool = True
    shift: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get('Range', '')
        self.server.requests.append((self.path, asked))
        page = self.server.pages.get(self.path)
        if page is None:
            return self.answer(404)
        if page.location:
            return self.answer(302, Location=page.location)
        if page.statuses:
            return self.answer(page.statuses.pop(0))
        start = int(asked.removeprefix('bytes=').removesuffix('-')) if asked and page.ranges else 0
        if start >= len(page.content) > 0:
            return self.answer(416, **{'Content-Range': f'bytes */{len(page.content)}'})
        body = page.content[start:]
        headers = {'Content-Length': len(body)} if page.honest else {}
        if start:
            headers['Content-Range'] = f'bytes {start + page.shift}-{len(page.content) - 1}/{len(page.content)}'
        self.answer(206 if start else 200, **headers)
        self.wfile.write(body[: page.breaks.pop(0)] if page.breaks else body)

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.pages, self.requests = {}, []
        self.address = f'http://127.0.0.1:{self.server_port}'


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip('pooch')
    monkeypatch.setattr(transfer, '_WAIT', 0.0)
    monkeypatch.setattr(transfer, 'CHUNK', 1000)
    monkeypatch.setenv('NO_PROXY', '*')
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def md5(data):
    return f'md5:{hashlib.md5(data).hexdigest()}'


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def get(server, folder, checksum='', **page):
    """Fetches a file that the server answers so."""
    server.pages.setdefault('/file.bin', Page(**{'content': DATA, **page}))
    return obtain(File('file.bin', f'{server.address}/file.bin', checksum), folder)


def ranges(server):
    return [asked for _, asked in server.requests]


# One file: broken off, resumed, refused.


def test_a_file_comes_and_is_recorded(server, tmp_path):
    path = get(server, tmp_path / 'deep' / 'cache')
    assert path.read_bytes() == DATA
    assert names(path.parent) == ['file.bin', 'file.bin.sha256']
    assert path.with_name('file.bin.sha256').read_text() == f'{hashlib.sha256(DATA).hexdigest()}  file.bin\n'


@pytest.mark.parametrize('checksum', ['', md5(DATA)])
def test_what_is_there_is_not_fetched_again(server, tmp_path, checksum):
    for _ in range(2):
        assert get(server, tmp_path, checksum).read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_broken_download_goes_on(server, tmp_path):
    assert get(server, tmp_path, md5(DATA), breaks=[20_000, 10_000]).read_bytes() == DATA
    assert ranges(server) == ['', 'bytes=20000-', 'bytes=30000-']
    assert names(tmp_path) == ['file.bin']


def test_the_next_command_goes_on_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, '_ATTEMPTS', 1)
    with pytest.raises(InputError, match=r'the download broke off \(\w+\); fetch it again to continue from there'):
        get(server, tmp_path, breaks=[20_000, 0])
    assert names(tmp_path) == ['file.bin.part']
    assert get(server, tmp_path).read_bytes() == DATA
    assert ranges(server) == ['', 'bytes=20000-', 'bytes=20000-']
    assert names(tmp_path) == ['file.bin', 'file.bin.sha256']


def test_as_long_as_something_comes_it_goes_on(server, tmp_path):
    assert get(server, tmp_path, md5(DATA), breaks=[1000] * 30).read_bytes() == DATA
    assert len(server.requests) == 31


def test_it_starts_again_where_ranges_are_not_honoured(server, tmp_path):
    assert get(server, tmp_path, md5(DATA), breaks=[20_000, 10_000], ranges=False).read_bytes() == DATA
    assert ranges(server) == ['', 'bytes=20000-', 'bytes=10000-']


def test_it_gives_up_where_nothing_comes(server, tmp_path):
    with pytest.raises(InputError, match='broke off'):
        get(server, tmp_path, breaks=[20_000] + [0] * 10)
    assert len(server.requests) == 1 + transfer._ATTEMPTS
    assert names(tmp_path) == ['file.bin.part']


def test_a_range_that_begins_elsewhere_is_not_taken(server, tmp_path):
    assert get(server, tmp_path, md5(DATA), breaks=[20_000], shift=5).read_bytes() == DATA
    assert ranges(server) == ['', 'bytes=20000-', '']


@pytest.mark.parametrize('left', [len(DATA), len(DATA) + 5])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, left):
    (tmp_path / 'file.bin.part').write_bytes((DATA + b'extra')[:left])
    assert get(server, tmp_path, md5(DATA)).read_bytes() == DATA
    assert ranges(server) == [f'bytes={left}-'] + [''] * (left > len(DATA))


def test_a_length_that_is_not_told(server, tmp_path):
    assert get(server, tmp_path, honest=False).read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(
        InputError, match=f'the downloaded file does not have the checksum {md5(DATA)}; fetch it again or from a'
    ):
        get(server, tmp_path, md5(DATA), content=DATA + b'!')
    assert names(tmp_path) == []
    server.pages['/file.bin'].content = DATA
    assert get(server, tmp_path, md5(DATA)).read_bytes() == DATA


def test_a_recorded_checksum_holds_ever_after(server, tmp_path):
    get(server, tmp_path).unlink()
    server.pages['/file.bin'].content = DATA + b'!'
    with pytest.raises(
        InputError, match=r'does not have the checksum sha256:\w+; delete .*file.bin.sha256 if a change is expected'
    ):
        get(server, tmp_path)
    assert names(tmp_path) == ['file.bin.sha256']
    (tmp_path / 'file.bin.sha256').unlink()
    assert get(server, tmp_path).read_bytes() == DATA + b'!'


@pytest.mark.parametrize('checksum', ['', md5(DATA)])
def test_a_file_damaged_on_the_disk_comes_again(server, tmp_path, checksum, caplog):
    get(server, tmp_path, checksum).write_bytes(b'damaged')
    assert get(server, tmp_path, checksum).read_bytes() == DATA
    assert f'{tmp_path}/file.bin: does not have the checksum' in caplog.text


def test_a_redirect_is_followed(server, tmp_path):
    server.pages['/elsewhere'] = Page(DATA, breaks=[20_000])
    assert get(server, tmp_path, location='/elsewhere').read_bytes() == DATA
    assert [path for path, _ in server.requests] == ['/file.bin', '/elsewhere'] * 2


def test_a_file_that_is_gone_is_told(server, tmp_path):
    with pytest.raises(
        InputError, match='the server answers 404, so the file may have moved; give a mirror, or save it as'
    ):
        obtain(File('file.bin', f'{server.address}/none'), tmp_path)
    assert names(tmp_path) == []
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server, tmp_path):
    assert get(server, tmp_path, statuses=[503, 429, 500]).read_bytes() == DATA


@pytest.mark.parametrize('status', [202, 401, 403])
def test_a_server_that_wants_a_browser(server, tmp_path, status):
    with pytest.raises(
        InputError, match=f'a web page came .* save the file from a browser as {tmp_path}/file.bin and fetch'
    ):
        get(server, tmp_path, statuses=[status])
    (tmp_path / 'file.bin').write_bytes(DATA)  # as told
    assert get(server, tmp_path, md5(DATA)).read_bytes() == DATA
    assert len(server.requests) == 1


@pytest.mark.parametrize('page', [b'<!DOCTYPE html><p>Sorry', b'\n <html>', b'{"status": "ERROR"}', b''])
def test_a_page_instead_of_the_file_is_refused(server, tmp_path, page):
    with pytest.raises(InputError, match='a web page came instead of the data'):
        get(server, tmp_path, content=page)
    assert names(tmp_path) == []
    (tmp_path / 'file.bin').write_bytes(page)  # saved by hand, but the wrong thing
    with pytest.raises(InputError, match='a web page came instead of the data'):
        get(server, tmp_path)


def test_a_page_does_not_take_the_place_of_what_came(server, tmp_path):
    (tmp_path / 'file.bin.part').write_bytes(DATA[:20_000])
    with pytest.raises(InputError, match='a web page came'):
        get(server, tmp_path, content=b'<html>' + DATA, ranges=False)
    assert (tmp_path / 'file.bin.part').read_bytes() == DATA[:20_000]


def test_a_full_disk_is_told_before(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, 'disk_usage', lambda _: types.SimpleNamespace(free=100))
    with pytest.raises(InputError, match='50000 bytes are needed and 100 are free; give another --cache'):
        get(server, tmp_path)
    assert names(tmp_path) == []


def test_no_server_at_all(server, tmp_path):
    with pytest.raises(InputError, match=r'the download broke off \(ConnectionError\)'):
        obtain(File('file.bin', 'http://127.0.0.1:1/file.bin'), tmp_path)


# Archives.


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, '/etc/passwd' * (kind == tarfile.SYMTYPE)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


EVIL = {'../evil.pkl': 'x', '/tmp/evil.pkl': 'x', 'norman/data_pyg/cell_graphs.pkl': 'x', '__MACOSX/n/._a.h5ad': 'x'}


@pytest.mark.parametrize(
    'archive',
    [
        zipped(**EVIL, **{'norman/a.h5ad': DATA}),
        zipped(**EVIL, **{'../../a.h5ad': DATA}),
        zipped(**EVIL, **{'..\\a.h5ad': DATA}),
        zipped(**{'a.h5ad/': '', 'x/a.h5ad': DATA}),
        tarred(('../../a.h5ad', DATA, tarfile.REGTYPE), ('../evil.pkl', b'x', tarfile.REGTYPE)),
        tarred(
            ('b/a.h5ad', b'', tarfile.SYMTYPE), ('c/a.h5ad', b'', tarfile.DIRTYPE), ('a.h5ad', DATA, tarfile.REGTYPE)
        ),
    ],
    ids=range(6),
)
def test_only_the_wanted_file_is_taken_out(tmp_path, archive):
    inner = tmp_path / 'outer' / 'inner'
    inner.mkdir(parents=True)
    (inner / 'archive').write_bytes(archive)
    take_out(inner / 'archive', inner / 'a.h5ad')
    assert (inner / 'a.h5ad').read_bytes() == DATA
    assert names(inner) == ['a.h5ad', 'archive']
    assert names(tmp_path) == ['outer']
    assert names(inner.parent) == ['inner']


def damaged(archive):
    place = archive.index(b'a.h5ad') + 100
    return archive[:place] + bytes([archive[place] ^ 255]) + archive[place + 1 :]


@pytest.mark.parametrize(
    ('archive', 'reason'),
    [
        (zipped(**{'b.h5ad': DATA}), '0 files in it are named a.h5ad; there should be one'),
        (zipped(**{'b/a.h5ad': DATA, 'c/a.h5ad': DATA}), '2 files in it are named a.h5ad'),
        (tarred(('a.h5ad', b'', tarfile.SYMTYPE)), '0 files in it are named a.h5ad'),
        (damaged(zipped(**{'a.h5ad': DATA})), 'cannot be unpacked .*; delete it and fetch again'),
        (tarred(('a.h5ad', DATA, tarfile.REGTYPE))[:20_000], 'cannot be unpacked|not a zip or tar'),
        (zipped(**{'a.h5ad': DATA})[:20_000], 'this is not a zip or tar archive'),
        (DATA, 'this is not a zip or tar archive; delete it and fetch again'),
    ],
    ids=range(7),  # archives hold the time
)
def test_an_archive_that_cannot_be_used_leaves_nothing(server, tmp_path, archive, reason):
    server.pages['/a.zip'] = Page(archive)
    with pytest.raises(InputError, match=reason):
        obtain(File('a.zip', f'{server.address}/a.zip', made='a.h5ad'), tmp_path)
    assert names(tmp_path) == ['a.zip']


# Data sets as they are published, in small.


def h5ad(folder, values, obs, var):
    path = folder / 'made.h5ad'
    with h5py.File(path, 'w') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # writing warns, with pandas 3
        for key, element in {'X': values, 'obs': obs, 'var': var}.items():
            write_elem(file, key, element)
    return path.read_bytes()


@pytest.fixture
def gears(tmp_path):
    """A zip as GEARS has it; cell_type says A549, as it does there."""
    obs = pd.DataFrame({'condition': ['ctrl', 'KLF1+ctrl', 'ctrl+MAP2K6', 'KLF1+MAP2K6'], 'cell_type': 'A549'})
    obs.index = [f'cell{i}' for i in range(4)]
    var = pd.DataFrame({'gene_name': ['KLF1', 'HBG1']}, index=['ENSG1', 'ENSG2'])
    content = h5ad(tmp_path, np.arange(8, dtype=np.float32).reshape(4, 2), obs, var)
    return zipped(**EVIL, **{'norman/perturb_processed.h5ad': content})


def at(server, monkeypatch, name, **contents):
    """The entry with its files at the server, which has these contents by file name."""
    entry = catalogue.CATALOGUE[name]
    files = []
    for file in entry.files:
        content = contents.get(file.name.partition('.')[0], DATA)
        server.pages[f'/{file.name}'] = Page(content)
        checksum = md5(content) if file.checksum else ''
        files.append(file._replace(address=f'{server.address}/{file.name}', checksum=checksum))
    monkeypatch.setitem(catalogue.CATALOGUE, name, entry._replace(files=tuple(files)))


def perturbations(compendium):
    return sorted(set(compendium.table()['perturbation']) - {'control'})


def test_norman_from_its_zip_to_a_compendium(server, tmp_path, monkeypatch, gears):
    at(server, monkeypatch, 'norman', norman=gears)
    cache = str(tmp_path / 'cache')
    found = catalogue.fetch('norman', cache)
    assert names(tmp_path / 'cache' / 'norman') == [
        *('norman.zip', 'norman.zip.sha256'),
        *('perturb_processed.h5ad', 'perturb_processed.h5ad.sha256'),
    ]
    assert found == catalogue.settings('norman', cache)
    compendium = load(found)
    assert perturbations(compendium) == ['CRISPRa_KLF1', 'CRISPRa_KLF1+CRISPRa_MAP2K6', 'CRISPRa_MAP2K6']
    assert compendium.vocabulary.contexts == ('K562',)
    assert compendium.vocabulary.readouts == ('KLF1', 'HBG1')
    assert compendium.screens[0].scale == 'log1p'
    by_name = load({'source': 'catalogue', 'name': 'norman', 'cache': cache})
    assert by_name.fingerprint() == compendium.fingerprint()
    with pytest.raises(InputError, match='fetch adamson'):
        load({'source': 'catalogue', 'name': 'adamson', 'cache': cache})


def test_genes_get_one_name_from_the_files_of_the_catalogue(tmp_path):
    """The h5ad file gives symbol and id of a gene; no other table does."""
    obs = pd.DataFrame({'condition': ['ctrl', 'KLF1+ctrl'], 'cell_type': 'A549'}, index=['c0', 'c1'])
    var = pd.DataFrame({'gene_name': ['KLF1', 'HBG1']}, index=['ENSG00000000001', 'ENSG00000000002'])
    folder = tmp_path / 'norman'
    folder.mkdir()
    (folder / 'perturb_processed.h5ad').write_bytes(h5ad(tmp_path, np.eye(2, dtype=np.float32), obs, var))
    source = {'source': 'catalogue', 'name': 'norman', 'cache': str(tmp_path)}
    assert load(source).vocabulary.readouts == ('KLF1', 'HBG1')
    for data in (source, {'screens': {'norman': source}}):
        harmonised = load(data | {'harmonise': {'genes': 'ensembl'}}).vocabulary
        assert harmonised.readouts == tuple(var.index)
        assert harmonised.perturbations == ('control', 'CRISPRa_ENSG00000000001')


def test_a_filled_cache_serves_offline_and_mends_itself(server, tmp_path, monkeypatch, gears):
    at(server, monkeypatch, 'norman', norman=gears)
    cache, asked = str(tmp_path / 'cache'), len(server.requests)
    made = pathlib.Path(catalogue.fetch('norman', cache)['path'])
    content = made.read_bytes()
    (made.parent / 'norman.zip').rename(tmp_path / 'aside.zip')
    catalogue.fetch('norman', cache, mirror='http://127.0.0.1:1')  # the archive is not missed
    (tmp_path / 'aside.zip').rename(made.parent / 'norman.zip')
    made.write_bytes(b'damaged')
    catalogue.fetch('norman', cache, mirror='http://127.0.0.1:1')  # made again from the archive
    assert made.read_bytes() == content
    assert len(server.requests) == asked + 1


def test_a_served_cache_is_a_mirror(server, tmp_path, gears):
    server.pages['/data/norman/norman.zip'] = Page(gears)
    found = catalogue.fetch('norman', str(tmp_path / 'cache'), mirror=f'{server.address}/data/')
    assert len(load(found).screens) == 1


def test_bulk_of_both_cell_lines(server, tmp_path, monkeypatch):
    obs = pd.DataFrame(index=['0_A1BG_P1_ENSG3', '1_A1BG_P2_ENSG3', '2_non-targeting_non-targeting_non-targeting'])
    var = pd.DataFrame({'gene_name': ['KLF1', 'HBG1']}, index=['ENSG1', 'ENSG2'])
    content = h5ad(tmp_path, np.array([[1, 2], [3, 4], [0, np.inf]], np.float32), obs, var)
    parts = {'K562_essential_normalized_bulk_01': content, 'rpe1_normalized_bulk_01': content}
    screens = {}
    for name in ('replogle_k562_bulk', 'replogle_rpe1_bulk'):
        at(server, monkeypatch, name, **parts)
        screens[name] = catalogue.fetch(name, str(tmp_path / 'cache'))
    compendium = load({'screens': screens})
    assert perturbations(compendium) == ['CRISPRi_A1BG']
    assert compendium.vocabulary.contexts == ('K562', 'RPE1')
    table = compendium.table()
    first = compendium.screens[0].values[table['perturbation'][table['screen'] == table['screen'][0]] != 'control']
    np.testing.assert_array_equal(first, [[2, 3]])


def gctx(folder, ids):
    path = folder / 'made.gctx'
    with h5py.File(path, 'w') as file:
        file['0/DATA/0/matrix'] = np.arange(2 * len(ids), dtype=np.float32).reshape(-1, 2)
        file['0/META/COL/id'] = np.array(ids, 'S9')
        file['0/META/ROW/id'] = np.array(['10', '20'], 'S9')
    return path.read_bytes()


SIGINFO = pd.DataFrame(
    {
        'sig_id': ['a', 'b', 'c', 'd', 'e'],
        'cmap_name': ['vorinostat', 'vorinostat', 'vorinostat', 'JUNK', 'TP53'],
        'cell_iname': 'A549',
        'pert_type': ['trt_cp'] * 4 + ['trt_xpr'],
        'pert_idose': ['10 uM', '10 uM', '1 uM', '10 uM', np.nan],
        'pert_itime': ['24 h', '24 h', '24 h', '24 h', '96 h'],
        'is_hiq': [1, 1, 1, 0, 1],
    }
)
GENEINFO = pd.DataFrame({'gene_id': [10, 20], 'gene_symbol': ['DDR1', 'X'], 'feature_space': ['landmark', 'inferred']})


def test_lincs_keeps_what_it_says(server, tmp_path, monkeypatch):
    tables = {'siginfo_beta': SIGINFO, 'geneinfo_beta': GENEINFO}
    texts = {name: table.to_csv(sep='\t', index=False).encode() for name, table in tables.items()}
    compounds = {'level5_beta_trt_cp_n720216x12328': gctx(tmp_path, ['a', 'b', 'c', 'd'])}
    knock_outs = {'level5_beta_trt_xpr_n142901x12328': gctx(tmp_path, ['e'])}
    at(server, monkeypatch, 'lincs_compounds', **texts, **compounds)
    at(server, monkeypatch, 'lincs_crispr', **texts, **knock_outs)
    cache = str(tmp_path / 'cache')
    screens = {name: catalogue.fetch(name, cache) for name in ('lincs_compounds', 'lincs_crispr')}
    assert [path for path, _ in server.requests].count('/siginfo_beta.txt') == 1  # both read the same
    compendium = load({'screens': screens})
    assert perturbations(compendium) == ['CRISPR-KO_TP53', 'Compound_vorinostat-10uM']
    assert compendium.vocabulary.contexts == ('A549_compounds', 'A549_crispr')
    assert compendium.vocabulary.readouts == ('DDR1',)
    np.testing.assert_array_equal(compendium.screens[0].values, [[1]])  # the mean of 0 and 2
    where = {'pert_type': 'trt_cp', 'is_hiq': (0, 1), 'pert_idose': ('1 uM', '10 uM')}
    wider = load(catalogue.settings('lincs_compounds', cache, fields={'where': where}))
    assert perturbations(wider) == ['Compound_JUNK-10uM', 'Compound_vorinostat-10uM', 'Compound_vorinostat-1uM']


def table_s5(folder, quantity='GI score'):
    """The second sheet of Table S5: three lines of headings and an empty one."""
    headings = pd.MultiIndex.from_product(
        [['K562', 'Jurkat'], ['Replicate 1', 'Replicate Average'], [quantity, 'GI correlation']]
    )
    index = pd.MultiIndex.from_tuples([('B', 'A'), ('A', 'A'), ('A', 'C')])
    scores = pd.DataFrame(np.arange(24.0).reshape(3, 8), index, headings)
    scores.iloc[2, 6] = np.nan
    path = folder / 'made.xlsx'
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({'x': [1]}).to_excel(book, sheet_name='sgRNA')
        scores.to_excel(book, sheet_name='gene GI scores and correlations')
    return path.read_bytes()


def test_horlbeck_from_the_workbook(server, tmp_path, monkeypatch):
    pytest.importorskip('openpyxl')
    at(server, monkeypatch, 'horlbeck_gi', table_s5=table_s5(tmp_path))
    found = catalogue.fetch('horlbeck_gi', str(tmp_path / 'cache'))
    assert pathlib.Path(found['path']).read_text().splitlines() == [
        'context,perturbation,readout,value',
        *('K562,A+B,growth GI,2', 'K562,A+A,growth GI,10', 'K562,A+C,growth GI,18'),
        *('Jurkat,A+B,growth GI,6', 'Jurkat,A+A,growth GI,14'),
    ]
    compendium = load(found)
    assert compendium.vocabulary.contexts == ('Jurkat', 'K562')
    assert 'CRISPRi_A+CRISPRi_B' in perturbations(compendium)


def test_another_workbook_is_told(tmp_path):
    pytest.importorskip('openpyxl')
    (tmp_path / 'a.xlsx').write_bytes(table_s5(tmp_path, 'score'))
    with pytest.raises(InputError, match='has no average GI score of K562 and Jurkat'):
        gi_scores(tmp_path / 'a.xlsx', tmp_path / 'a.csv')
    (tmp_path / 'b.xlsx').write_bytes(zipped(a='b'))
    with pytest.raises(InputError, match='cannot be read as Table S5'):
        gi_scores(tmp_path / 'b.xlsx', tmp_path / 'a.csv')


# The catalogue itself.


@pytest.mark.parametrize('name', catalogue.CATALOGUE)
def test_every_entry_can_be_read(name):
    entry = catalogue.CATALOGUE[name]
    settings = with_preset(**entry.settings)
    reader = READERS[settings['source']]
    find_scale(settings['scale'])
    check_settings(Fields, settings['fields'], name)
    Fields(**settings['fields'])
    paths = {key: value for key, value in settings.items() if key in ('path', 'siginfo', 'geneinfo')}
    assert set(paths.values()) == {file.read for file in entry.files}
    assert set(paths) - {'path'} <= set(reader.__code__.co_varnames)
    for file in entry.files:
        assert file.address.startswith('https://')
        kind, _, digits = file.checksum.partition(':')
        assert len(digits) == {'': 0, 'md5': 32, 'sha256': 64}[kind]
    assert all(entry)


def test_entries_of_one_folder_agree_on_its_files():
    files = {}
    for entry in catalogue.CATALOGUE.values():
        for file in entry.files:
            assert files.setdefault((entry.folder, file.name), file) == file


def test_settings_ask_for_the_file(tmp_path):
    with pytest.raises(
        InputError, match=f'perturb_processed.h5ad: is not there; fetch it by .* norman --cache={tmp_path}'
    ):
        catalogue.settings('norman', str(tmp_path))
    with pytest.raises(InputError, match="there is no data set 'normann'; did you mean 'norman'"):
        catalogue.settings('normann')


def test_settings_can_be_changed_and_are_ones_own(tmp_path):
    path = tmp_path / 'norman' / 'perturb_processed.h5ad'
    path.parent.mkdir()
    path.touch()
    found = catalogue.settings('norman', str(tmp_path), duplicate_seed=3, fields={'context_name': 'K562_a'})
    assert (found['duplicate_seed'], found['path']) == (3, str(path))
    assert found['fields'] == {'context': '', 'context_name': 'K562_a', 'perturbation_type': 'CRISPRa'}
    catalogue.settings('norman', str(tmp_path))['fields']['perturbation_type'] = 'CRISPRi'
    assert catalogue.settings('norman', str(tmp_path))['fields']['perturbation_type'] == 'CRISPRa'
    assert catalogue.settings('norman', str(tmp_path), fields={'kind': 'RNAi'})['fields'] == {
        'context': '', 'context_name': 'K562', 'perturbation_type': 'RNAi'
    }  # fmt: skip
    with pytest.raises(InputError, match='data.fields: expected a mapping of setting names to values, got 3'):
        catalogue.settings('norman', str(tmp_path), fields=3)


def test_the_cache_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv('PERTURBJAX_CACHE', str(tmp_path))
    with pytest.raises(InputError, match=f'{tmp_path}/adamson/perturb_processed.h5ad: is not there'):
        catalogue.settings('adamson')
    monkeypatch.delenv('PERTURBJAX_CACHE')
    pooch = pytest.importorskip('pooch')
    with pytest.raises(InputError, match=str(pooch.os_cache('perturbjax'))):
        catalogue.settings('adamson')


def test_without_pooch_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'pooch', None)
    assert catalogue.main(['fetch', 'norman', f'--cache={tmp_path}']) == 2
    assert capsys.readouterr().err == "perturbjax: downloads need pooch; pip install 'perturbjax[download]'.\n"
    assert catalogue.main(['list']) == 0


def test_the_list(capsys, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, 'adamson', catalogue.CATALOGUE['adamson']._replace(confirmed=False))
    assert catalogue.main(['list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*catalogue.CATALOGUE, *embeddings.TABLES, 'published_scores']
    assert [line.split()[0] for line in lines if line.endswith(', unconfirmed')] == ['adamson']
    assert catalogue.main(['list', 'adamson']) == 0
    assert '  address   unconfirmed\n' in capsys.readouterr().out
    assert catalogue.main(['list', 'lincs_crispr']) == 0
    told = capsys.readouterr().out
    for fact in ('md5:c852ca26affaa144f1b042463036702b', "'is_hiq': 1", 'doi:10.1016/j.cell.2017.10.049', 'licence'):
        assert fact in told


def test_the_command_fetches(server, tmp_path, monkeypatch, gears, capsys):
    at(server, monkeypatch, 'norman', norman=gears)
    assert catalogue.main(['fetch', 'norman', '--cache', str(tmp_path / 'cache')]) == 0
    told = capsys.readouterr()
    assert ast.literal_eval(told.out.removeprefix('config.data = ')) == catalogue.settings(
        'norman', str(tmp_path / 'cache')
    )
    assert told.err == ''  # no bar where no one looks


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['fetch', 'normann'], "catalogue: there is no data set 'normann'; did you mean 'norman'?"),
        (['fetch'], "catalogue: there is no data set ''"),
        (['list', 'nothing'], "catalogue: there is no data set 'nothing'"),
        (['get', 'norman'], 'use list [NAME] or fetch NAME.'),
        ([], 'use list [NAME] or fetch NAME.'),
        (['fetch', 'norman', '--mirrors=x', '--cache=/x'], 'use list [NAME] or fetch NAME.'),
        (['fetch', 'norman', '--mirror=/mnt/data', '--cache=/x'], "--mirror: '/mnt/data' is not an address"),
    ],
)
def test_a_bad_command_gives_one_sentence_and_2(arguments, told, capsys):
    pytest.importorskip('pooch')
    assert catalogue.main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.startswith('perturbjax: ')
    assert error.count('\n') == 1


def test_a_cache_that_cannot_be_written(server, tmp_path, capsys):
    (tmp_path / 'file').touch()
    assert catalogue.main(['fetch', 'norman', f'--cache={tmp_path}/file']) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_ctrl_c_says_how_to_go_on(server, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, 'fetch', stop)
    assert catalogue.main(['fetch', 'norman']) == 130
    assert capsys.readouterr().err == 'perturbjax: stopped; fetch again to continue from there.\n'


def test_the_module_is_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['catalogue', 'list'])
    monkeypatch.delitem(sys.modules, 'perturbjax.datasets.catalogue')
    with pytest.raises(SystemExit, match='0'):
        runpy.run_module('perturbjax.datasets.catalogue', run_name='__main__')
    assert 'norman' in capsys.readouterr().out
