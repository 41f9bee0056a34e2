"""The vote store: every observation raw and once, on SQLite or PostgreSQL."""
