"""`charter benchmark`: each compares charter with a plain baseline in the same run."""
