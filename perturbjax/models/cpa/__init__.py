"""CPA: an autoencoder of cells whose latent states perturbations shift, and an adversary that keeps them apart.

Reading order: network.py, losses.py, learning.py (steps and optimizers), schedule.py (which step when), cells.py
(counts, and what is learnt from), judging.py (how good an epoch is), fitting.py (epochs), predicting.py, model.py
(settings).
"""
