"""What is timed, on what hardware, and how."""
