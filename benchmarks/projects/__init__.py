"""Settings of the kiosk under faults, and what a project does wrong in its own code."""
