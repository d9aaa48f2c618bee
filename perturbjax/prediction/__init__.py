"""Predictions of any fitted model.

Reading order: stream.py (in bounded memory), layers.py (what a model adds to a file), file.py (predictions.h5ad),
full_grid.py (grid.h5ad).
"""
