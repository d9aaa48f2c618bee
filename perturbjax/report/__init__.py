"""The HTML report of a run: one page that needs no network, no scripts and no other file.

Its figures are functions of the results, also for notebooks: `report.forest(results).figure`. That of many runs is
`report.scoreboard(ledger.compare(frame)).figure`.
"""

from perturbjax.evaluation.verdict import notes, run_facts
from perturbjax.report.results.examples import changes
from perturbjax.report.results.figures import anchored, calibration, collapse, forest, strip
from perturbjax.report.results.lines import interaction_curve, linear_sweep_curve, readout_curve, training_curve
from perturbjax.report.results.page import report_page
from perturbjax.report.runs.figures import scoreboard

__all__ = [
    'anchored',
    'calibration',
    'changes',
    'collapse',
    'forest',
    'interaction_curve',
    'linear_sweep_curve',
    'notes',
    'readout_curve',
    'report_page',
    'run_facts',
    'scoreboard',
    'strip',
    'training_curve',
]
