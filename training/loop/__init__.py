"""One training from its first step to its encoder folder, in one process or several."""
