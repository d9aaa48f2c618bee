"""The comparison of many runs as a Markdown table, to be read and pasted."""

from collections.abc import Mapping
from typing import Any

from perturbjax.evaluation.anchors import PERFECT
from perturbjax.evaluation.scoreboard import Board
from perturbjax.evaluation.tables import in_width, markdown, number, span


def scoreboard_table(board: Board, width: int = 120) -> str:
    """The table with its legend and notes; models are rows, and after the mean rank screens are columns.

    Args:
      board: as `scoreboard.compare` returns it.
      width: most characters in a line; columns that do not fit go to another table.
    """
    columns = [[_printable(cell) for cell in column] for column in scoreboard_columns(board)]
    tables = ['\n'.join(markdown(block)) for block in in_width(columns, width)]
    notes = [f'- {_printable(note)}' for note in board.notes]
    return '\n\n'.join(['\n\n'.join(tables), legend(board), '\n'.join(notes)]).strip()


def scoreboard_columns(board: Board) -> list[list[str]]:
    """The columns of the table, each a head and one cell per model: `score [low, high]`, `-` without a score."""
    models = models_with_scores(board)
    ranks = dict(zip(board.ranks['model'], board.ranks['mean_rank']))
    columns = [['model', *models], ['mean rank', *(f'{ranks[name]:.2f}' if name in ranks else '-' for name in models)]]
    for column, rows in by_column(board).items():
        columns.append([column, *(_cell(rows.get(name)) for name in models)])
    return columns


def models_with_scores(board: Board) -> list[str]:
    """The models that have a score in any column; the notes name the others."""
    return list(board.scores['model'][board.scores['anchored'].notna()].unique())


def by_column(board: Board) -> dict[str, Mapping[str, Any]]:
    """The rows of the board by column and model, without columns that have no score; the notes name those."""
    return {
        str(column): {str(row.model): row for row in rows.itertuples()}
        for column, rows in board.scores.groupby('column', sort=True)
        if rows['anchored'].notna().any()
    }


def legend(board: Board) -> str:
    """What the numbers mean, in sentences."""
    perfect = [name for name, rows in by_column(board).items() if next(iter(rows.values())).anchor == PERFECT]
    top = f' (a perfect prediction on {", ".join(perfect)}, where nothing has replicates)' if perfect else ''
    sentences = [
        f"Anchored score by {board.metric}: 0 is the mean of the context's training perturbations, 1 a repeat of the "
        f'experiment{_printable(top)}. In brackets: 95% bootstrap interval over (context, perturbation).'
    ]
    if len(board.ranks):
        screens = int(board.ranks['screens'].iloc[0])
        sentences.append(
            f'Mean rank: 1 is best; over {screens} {"column" if screens == 1 else "columns"}, among the '
            f'{len(board.ranks)} models that have a score on all of them. Ranks do not see the intervals.'
        )
    return ' '.join(sentences)


def _cell(row: Any) -> str:
    known = row is not None and row.anchored == row.anchored
    return f'{number(row.anchored)} {span(row.anchored_low, row.anchored_high)}'.strip() if known else '-'


def _printable(text: str) -> str:
    """The text on one line, with no bar that would end a cell."""
    return ''.join(letter if letter.isprintable() else ' ' for letter in text).replace('|', r'\|')
