"""Encoders in MLflow."""
