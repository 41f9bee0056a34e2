"""Charter's own engine: the embedded model, and vLLM started, shared by leases and ended."""
