"""How good predictions are.

Reading order: results.py (everything at once), scores.py and metrics/, summary.py and statistics.py, calibration.py and
controls.py, coverage.py, gaps.py, verdict.py, doubles.py, interactions.py and repeats.py, linear_sweep.py and
linear_errors.py. Cells in place of profiles: referees/. Many runs beside each other: scoreboard.py.
"""
