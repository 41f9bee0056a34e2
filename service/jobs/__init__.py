"""Durable jobs: rows with leases, on SQLite and PostgreSQL."""
