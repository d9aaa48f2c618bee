"""The public data sets of the catalogue: addresses, checksums, and the settings that read them.

The addresses and checksums are from the papers or from public code that uses them: GEARS and
perturblib (addresses), Ahlmann-Eltze et al. 2025 (data availability), and clue.io's table of files
(checksums of LINCS). The contents of the data sets were not checked here.
"""

from typing import Any, NamedTuple

from perturbjax.datasets.download import File
from perturbjax.datasets.unpacking import gi_scores


class Entry(NamedTuple):
    """A data set.

    Attributes:
      title: a short description.
      folder: its folder in the cache.
      files: the files to download.
      settings: the `data` part of a config, with names of files in place of paths.
      kept: the part of the data that these settings keep.
      citation: the paper.
      page: a web page that describes the data.
      licence: of the data.
      confirmed: whether the address is in the paper or in public code that uses it.
    """

    title: str
    folder: str
    files: tuple[File, ...]
    settings: dict[str, Any]
    kept: str
    citation: str
    page: str
    licence: str = 'not known here; see the page'
    confirmed: bool = True


_NORMAN = 'Norman et al. 2019, Science 365:786, doi:10.1126/science.aax4438'
_ADAMSON = 'Adamson et al. 2016, Cell 167:1867, doi:10.1016/j.cell.2016.11.048'
_REPLOGLE = 'Replogle et al. 2022, Cell 185:2559, doi:10.1016/j.cell.2022.05.013'
_HORLBECK = 'Horlbeck et al. 2018, Cell 174:953, doi:10.1016/j.cell.2018.06.010'
_LINCS = 'Subramanian et al. 2017, Cell 171:1437, doi:10.1016/j.cell.2017.10.049'
_DATAVERSE = 'https://dataverse.harvard.edu/api/access/datafile'
_FIGSHARE = 'https://ndownloader.figshare.com/files'
_ELSEVIER = 'https://ars.els-cdn.com/content/image'
_LINCS_2020 = 'https://s3.amazonaws.com/macchiato.clue.io/builds/LINCS2020'
_SCFOUNDATION = 'gse133344_k562gi_oe_pert227_84986_19264_withtotalcount.h5ad'


def _gears(title: str, archive: File, cell_line: str, perturbation_type: str, citation: str) -> Entry:
    """A data set in a zip, as GEARS distributes it."""
    file = archive if archive.made else archive._replace(made='perturb_processed.h5ad')
    # The column cell_type is not used, because it says A549 for Norman's K562 cells.
    fields = {'context': '', 'context_name': cell_line, 'perturbation_type': perturbation_type}
    return Entry(
        title=title,
        folder=file.name.removesuffix('.zip'),
        files=(file,),
        settings={'source': 'h5ad', 'preset': 'gears', 'path': file.made, 'fields': fields},
        kept='all cells of the file; GEARS had chosen some 5,000 variable genes and log-normalised',
        citation=citation,
        page='https://github.com/snap-stanford/GEARS',
    )


def _bulk(cell_line: str, file: File) -> Entry:
    """Pseudobulk of Replogle et al. 2022, as z-scores within gem groups."""
    fields = {'context_name': cell_line}
    return Entry(
        title=f'Replogle 2022, {cell_line}, CRISPRi of essential genes, pseudobulk',
        folder='replogle_bulk',
        files=(file,),
        settings={'source': 'h5ad', 'preset': 'replogle_bulk', 'path': file.name, 'fields': fields},
        kept='all profiles, z-scores within gem groups; those of one gene are averaged',
        citation=_REPLOGLE,
        page='https://doi.org/10.25452/figshare.plus.20029387',
        licence='CC BY 4.0',
    )


def _lincs(title: str, file: File, kept: str, fields: dict[str, Any], where: dict[str, Any]) -> Entry:
    """Level-5 signatures of LINCS 2020, filtered as Miladinovic et al. 2025 filter them."""
    siginfo = File(
        'siginfo_beta.txt', f'{_LINCS_2020}/siginfo_beta.txt', 'md5:ab609fc04fab21180b07833119d1c7b6', '444 MB'
    )
    geneinfo = File(
        'geneinfo_beta.txt', f'{_LINCS_2020}/geneinfo_beta.txt', 'md5:45c725d17ce6c377f1e7de07b821a5f0', '1 MB'
    )
    chosen = {'readout': 'gene_symbol', 'readout_where': {'feature_space': 'landmark'}, 'where': {'is_hiq': 1, **where}}
    return Entry(
        title=title,
        folder='lincs_2020',
        files=(file, siginfo, geneinfo),
        settings={
            'source': 'gctx',
            'path': file.name,
            'siginfo': siginfo.name,
            'geneinfo': geneinfo.name,
            'scale': 'z-score',
            'fields': {'separator': '', **fields, **chosen},
        },
        kept=f'signatures with is_hiq 1, landmark genes, {kept}; replicates are averaged',
        citation=_LINCS,
        page='https://clue.io/data/CMap2020#LINCS2020',
    )


CATALOGUE: dict[str, Entry] = {
    'norman': _gears(
        'Norman 2019, K562, CRISPRa, single and double (GEARS)',
        File('norman.zip', f'{_DATAVERSE}/6154020'),
        'K562',
        'CRISPRa',
        _NORMAN,
    ),
    'norman_scfoundation': _gears(
        'Norman 2019, K562, CRISPRa, single and double, 19,264 genes (scFoundation)',
        File('norman_scfoundation.zip', f'{_FIGSHARE}/44477939', made=_SCFOUNDATION),
        'K562',
        'CRISPRa',
        f'{_NORMAN}; Hao et al. 2024, Nature Methods 21:1481',
    )._replace(
        kept='all cells and 227 conditions; Ahlmann-Eltze et al. keep the 224 that the graph of GEARS knows',
        page='https://github.com/biomap-research/scFoundation',
    ),
    'adamson': _gears(
        'Adamson 2016, K562, CRISPRi (GEARS)',
        File('adamson.zip', f'{_DATAVERSE}/6154417'),
        'K562',
        'CRISPRi',
        _ADAMSON,
    ),
    'replogle_k562': _gears(
        'Replogle 2022, K562, CRISPRi of essential genes (GEARS)',
        File('replogle_k562.zip', f'{_DATAVERSE}/7458695', 'md5:84eed779531de88f83d3eb16a773a261'),
        'K562',
        'CRISPRi',
        _REPLOGLE,
    ),
    'replogle_rpe1': _gears(
        'Replogle 2022, RPE1, CRISPRi of essential genes (GEARS)',
        File('replogle_rpe1.zip', f'{_DATAVERSE}/7458694', 'md5:169370a8da6093470f122172ab30f7c5', '666 MB'),
        'RPE1',
        'CRISPRi',
        _REPLOGLE,
    ),
    'replogle_k562_bulk': _bulk(
        'K562',
        File(
            'K562_essential_normalized_bulk_01.h5ad',
            f'{_FIGSHARE}/35780870',
            'md5:30496767641cd2e660ee6ecb5baee132',
            '80 MB',
        ),
    ),
    'replogle_rpe1_bulk': _bulk(
        'RPE1',
        File('rpe1_normalized_bulk_01.h5ad', f'{_FIGSHARE}/35775512', 'md5:6f1e7d6a09e2f869759e3c4526b7f171', '95 MB'),
    ),
    'horlbeck_gi': Entry(
        title='Horlbeck 2018, K562 and Jurkat, CRISPRi of gene pairs, genetic interactions of growth',
        folder='horlbeck_gi',
        files=(
            File('table_s5.xlsx', f'{_ELSEVIER}/1-s2.0-S0092867418307359-mmc5.xlsx', made='gi.csv', make=gi_scores),
        ),
        settings={
            'source': 'long',
            'path': 'gi.csv',
            'scale': 'z-score',
            'fields': {'context': 'context', 'perturbation': 'perturbation', 'perturbation_type': 'CRISPRi'},
        },
        kept='the average GI score of every pair; 0 is no interaction, and single genes have none',
        citation=_HORLBECK,
        page='https://doi.org/10.1016/j.cell.2018.06.010',
    ),
    'lincs_compounds': _lincs(
        'LINCS 2020, level 5, compounds',
        File(
            'level5_beta_trt_cp_n720216x12328.gctx',
            f'{_LINCS_2020}/level5/level5_beta_trt_cp_n720216x12328.gctx',
            'md5:9a82806e2aba6ec2a866cba77bd57fda',
            '33 GiB',
        ),
        '10 uM, 24 h',
        {
            'context': '{cell_iname}_compounds',
            'perturbation': '{cmap_name}-{pert_idose: 0}{pert_idose: 1}',  # the dose 10 uM as 10uM
            'perturbation_type': 'Compound',
        },
        {'pert_type': 'trt_cp', 'pert_idose': '10 uM', 'pert_itime': '24 h'},
    ),
    'lincs_crispr': _lincs(
        'LINCS 2020, level 5, CRISPR knock-outs',
        File(
            'level5_beta_trt_xpr_n142901x12328.gctx',
            f'{_LINCS_2020}/level5/level5_beta_trt_xpr_n142901x12328.gctx',
            'md5:c852ca26affaa144f1b042463036702b',
            '6 GiB',
        ),
        'all times together',
        {'context': '{cell_iname}_crispr', 'perturbation': 'cmap_name', 'perturbation_type': 'CRISPR-KO'},
        {'pert_type': 'trt_xpr'},
    ),
}
