"""What training learns from: samples, their pictures, and batches of them."""
