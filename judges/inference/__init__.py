"""Principles inferred from preferences: proposed, clustered, voted on, selected, written."""
