"""What is measured and the plain implementations that it is measured against."""
