"""Constitution files: their records, loading, checks, digests, and the rules that code checks."""
