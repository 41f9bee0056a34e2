"""Scoring completions one by one: P(yes), ratings, statements and rules."""
