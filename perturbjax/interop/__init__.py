"""Other tools' files, in and out.

Reading order: predictions.py (into a run), export.py (out of one), perturblib.py (checkpoints), then one file per form;
trees.py (a model outside of JAX that takes part as another tool).
"""
