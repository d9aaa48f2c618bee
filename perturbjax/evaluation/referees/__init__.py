"""Metrics of cells, as other packages' referees define them: a pair of AnnData, one true and one predicted.

Reading order: pair.py (what is compared, and what is refused), bulk.py, expression.py, differential.py, significant.py,
suite.py (the six members of the Virtual Cell Challenge 2026 at once), distances.py (between two sets of cells).
docs/referees.md has their digits beside those of the packages.
"""

from perturbjax.evaluation.referees.pair import Pair, make_pair
from perturbjax.evaluation.referees.suite import MEMBERS, aggregate, vcc2026

__all__ = ['MEMBERS', 'Pair', 'aggregate', 'make_pair', 'vcc2026']
