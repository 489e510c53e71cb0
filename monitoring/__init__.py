"""Watching what runs: series of check results today; drift, golden recall over HTTP and alerts have their room here."""
