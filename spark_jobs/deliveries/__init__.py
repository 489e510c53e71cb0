"""Recording a delivery: its items files, and where each of its images lies."""
