"""What counts as the same: connected by a shared product, or by pictures that look alike."""
