"""Judging for many callers at once: one event loop, lanes to the engine, deadlines, counts."""
