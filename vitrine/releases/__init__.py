"""Releases: gate, stage, activate, verify, and what a person may do by hand."""
