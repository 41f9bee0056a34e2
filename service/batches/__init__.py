"""Durable batches: an uploaded file of requests, judged in parts, whatever is killed meanwhile."""
