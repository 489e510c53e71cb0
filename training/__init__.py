"""Training and registering encoders."""
