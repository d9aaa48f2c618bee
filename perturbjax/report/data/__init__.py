"""The page about the data, `data.html`: page.py, and figures.py for its figures."""
