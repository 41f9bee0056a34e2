"""What `charter benchmark service` measures."""
