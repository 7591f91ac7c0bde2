"""Many runs beside each other: means over seeds, tests of differences, and the dashboard page."""
