"""Engines: the two towers of an encoder on OpenVINO or torch, and the reference that all must reproduce."""
