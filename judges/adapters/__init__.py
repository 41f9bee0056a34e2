"""Adapters of the embedded model that ship, a folder each, and which of them judge by default."""
