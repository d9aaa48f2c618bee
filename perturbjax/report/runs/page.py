"""The page of many runs."""

from xml.etree.ElementTree import Element

import pandas as pd

from perturbjax.evaluation.scoreboard import Board
from perturbjax.evaluation.scoreboard_table import legend, scoreboard_columns
from perturbjax.report.components import bullets, column_head, figure, table
from perturbjax.report.elements import breakable, tag
from perturbjax.report.page import document
from perturbjax.report.results.tables import plain_table
from perturbjax.report.runs.figures import scoreboard

_CAPTION = (
    'Dot: the anchored score, with its 95% interval; hollow for simple rules. Diamond: the mean rank; bar: from the '
    'best to the worst rank.'
)
_OF_A_RUN = ('workdir', 'column', 'evaluated', 'profiles', 'splits', 'perturbjax', 'jax', 'python')
_HASHES = ('config_hash', 'data_hash', 'split_hash')


def scoreboard_page(board: Board) -> str:
    """Returns the page as HTML text."""
    axes = scoreboard(board)
    width = axes.figure.get_figwidth() * 72  # type: ignore[union-attr]
    drawn = figure(axes, 'scoreboard', _CAPTION)
    # As wide as it was drawn, so that its text can be read; on a phone it scrolls.
    drawn.set('style', f'width: {width:.0f}px; max-width: none')
    sections = {
        'Scores': [tag('p', legend(board)), tag('div', drawn, class_='scroll', tabindex=0), _scores(board)],
        'What to know': bullets(board.notes),
        'Runs': [plain_table(_runs(board.scores))],
    }
    return document(f'Models on screens, by {board.metric}', [], sections)


def _scores(board: Board) -> Element:
    (_, *models), *columns = scoreboard_columns(board)
    rows = (
        tag('tr', tag('th', *breakable(model), scope='row'), *(tag('td', cell) for cell in cells))
        for model, *cells in zip(models, *(cells for _, *cells in columns))
    )
    return table([column_head(head) for head, *_ in [['model'], *columns]], rows)


def _runs(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per run of which a score is shown; of the hashes their beginnings."""
    runs = scores.drop_duplicates(['workdir', *_HASHES])
    runs = runs.assign(**{name: runs[name].str[:8] for name in _HASHES})
    return runs[[*_OF_A_RUN, *_HASHES]].rename(columns=lambda name: name.replace('_', ' '))
