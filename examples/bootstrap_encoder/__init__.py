"""Reproduces the bootstrap encoder that lies in `training/bootstrap/encoder`.

    python -m examples.bootstrap_encoder --into training/bootstrap/encoder

It draws early studio views of demo catalogs with other seeds than the demo's, without user photos and without scenes,
so that fine-tuning on a real catalog has something to learn.

The weights that are committed now come from these steps run in four parts while the recipe was still changing (the
label texts joined for the last 600 steps, and one part began with a retrained tokenizer), so a run of the script gives
a like encoder, not the same bytes. `training/bootstrap/evaluation.json` holds what they reach.
"""
