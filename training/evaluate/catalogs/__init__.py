"""The catalogs that a report is about."""
