"""Planning: which recipe fits a catalog, predicted from calibrated measurements."""
