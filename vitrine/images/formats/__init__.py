"""What a file of each format asks of its decoder, counted by a walk over its bytes."""
