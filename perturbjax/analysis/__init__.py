"""What embeddings know, each measure beside a null and beside the raw profiles.

Reading order: embeddings.py (the tables), settings.py (what a config may ask for), study.py (the answers), then one
file for each question.
"""
