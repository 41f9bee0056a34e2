"""What `charter benchmark` measures of training."""
