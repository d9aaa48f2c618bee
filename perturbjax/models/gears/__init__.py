"""GEARS: a network over cells that predicts unseen perturbations by a graph of the gene ontology.

Reading order: graphs.py (of genes and of perturbations), layers.py, network.py, learning.py (loss and optimizer),
cells.py (what is learnt from), fitting.py (epochs), model.py (settings and predictions).
"""
