"""Kills and suspends every service of a platform of its own under a load of searches, and measures what follows."""
