"""How good predictions are.

Reading order: results.py (everything at once), scores.py and metrics/, summary.py and statistics.py, calibration.py and
controls.py, verdict.py, doubles.py and interactions.py, linear_sweep.py.
"""
