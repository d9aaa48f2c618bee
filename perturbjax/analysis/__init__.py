"""What embeddings know, each measure beside a null and beside the raw profiles.

Reading order: embeddings.py (the tables), study.py (what a config asks for), then one file for each question.
"""
