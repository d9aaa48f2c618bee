"""The commands of the ledger; see the package."""

import argparse
import sys
from collections.abc import Sequence

from absl import logging
from etils import epath

from perturbjax import ledger, workdir
from perturbjax.errors import InputError, of_system
from perturbjax.evaluation.metrics import METRICS
from perturbjax.paths import absolute
from perturbjax.report.runs.page import scoreboard_page


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m perturbjax.ledger', description='Keeps the scores of many runs.')
    commands = parser.add_subparsers(dest='command', required=True)
    adding = commands.add_parser('add', help='add finished runs; one that is there already is replaced')
    adding.add_argument('workdirs', nargs='+', metavar='WORKDIR')
    adding.add_argument('--full_paths', action='store_true', help='keep whole paths, not the names of the workdirs')
    showing = commands.add_parser('show', help='print models x screens with mean ranks')
    showing.add_argument('--metric', default=next(iter(METRICS)), help='by which models are compared')
    showing.add_argument('--models', nargs='+', default=(), help='compare these, where all of them have a score')
    showing.add_argument('--screens', nargs='+', default=(), help='compare on these')
    showing.add_argument('--out', default='', metavar='FOLDER', help='write ledger.csv, ranks.csv and ledger.html')
    for command in (adding, showing):
        command.add_argument('--ledger', default='ledger.sqlite', metavar='FILE', help='by default ledger.sqlite')
    return parser.parse_args(arguments)


def _show(given: argparse.Namespace) -> None:
    frame = ledger.read(given.ledger)
    board = ledger.compare(frame, given.metric, given.models, given.screens)
    print(ledger.table(board))
    if given.out:
        folder = epath.Path(absolute(given.out, '--out'))
        workdir.write_table(folder / 'ledger.csv', frame)
        workdir.write_table(folder / 'ranks.csv', board.ranks)
        workdir.write_text(folder / 'ledger.html', scoreboard_page(board))
        print(f'\npage: {folder}/ledger.html')


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    given = _parse(arguments)
    logging.set_verbosity(logging.WARNING)
    try:
        if given.command == 'add':
            print(*ledger.add(given.ledger, *given.workdirs, full_paths=given.full_paths), sep='\n')
        else:
            _show(given)
    except InputError as error:
        print(f'perturbjax: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'perturbjax: {of_system(error)}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
