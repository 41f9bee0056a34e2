"""Direct preference optimisation on pairs that the policy itself has just written."""
