"""The steps of `train_encoder`: plan a training, run it, evaluate it, register it."""
