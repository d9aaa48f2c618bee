"""What to measure next.

Reading order: greedy.py (the choice of a batch), candidates.py (what is not measured yet), ridge_effects.py and
kernel_effects.py (what those rules do not know), disagreement.py (what the members of an ensemble do not agree on),
suggest.py (the table of a batch).
"""
