"""The page about the results, `report.html`: page.py, its sections.py, and the figures and tables in them."""
