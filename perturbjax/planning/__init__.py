"""What to measure next.

Reading order: greedy.py (the choice of a batch), candidates.py (what is not measured yet), posteriors.py (what the
ridge rule and the kernel rule do not know), disagreement.py (what the members of an ensemble do not agree on),
suggest.py (the table of a batch).
"""
