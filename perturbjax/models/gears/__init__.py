"""GEARS: a network over cells that predicts unseen perturbations by a graph of the gene ontology.

Reading order: graphs.py, layers.py, network.py, learning.py.
"""
