"""Reward models as judging sees them: their description, their arithmetic, their server."""
