"""The scores of many runs in one file: what a lab has tried on which screens, over months.

    python -m perturbjax.ledger add WORKDIR [WORKDIR ...] --ledger=FILE
    python -m perturbjax.ledger show --ledger=FILE [--metric=NAME] [--out=FOLDER]

Read `runs` (what is kept of a workdir), then `file` (how it is kept). How runs are compared is in
`evaluation.scoreboard`, and drawn by `report.scoreboard`.
"""

from perturbjax.evaluation.scoreboard import Board, compare, mean_ranks
from perturbjax.evaluation.scoreboard_table import scoreboard_table as table
from perturbjax.ledger.file import add, read

__all__ = ['Board', 'add', 'compare', 'mean_ranks', 'read', 'table']
