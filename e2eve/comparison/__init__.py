"""Many runs beside each other: cells over seeds, statistics, and the dashboard page."""
