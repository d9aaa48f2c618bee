"""scGPT's generator: a transformer over genes, pretrained on cells of many tissues, that is fine-tuned on a screen.

Reading order: network.py (on models/transformer.py), learning.py (loss and optimizer), weights.py (their names in
torch), pretrained.py (a folder of them), fitting.py (epochs), model.py (settings and predictions).
"""
