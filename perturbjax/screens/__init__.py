"""The data structure, and what is computed on it alone: aggregation, splits, simulation, the store on disk."""
