"""Where vectors of names come from: files of vectors, other screens, pairs, structures, and control profiles.

Reading order: main_axes.py (a PCA of what is incomplete), other_screen.py (each name by its profiles in another
screen), fingerprints.py (compounds by their structures), pairs.py (genes by a graph of pairs), vectors.py (the one door
to all files), matching.py (which name is which), control.py (the run's own contexts by their control).
"""
