"""Readers of files, one module per format. Each returns Measurements; no other room knows a format."""
