"""File formats: one module each, every reader returning Measurements. Nothing else knows a format."""
