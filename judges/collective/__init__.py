"""Principles from a group of people: votes on statements, and where its opinion groups agree."""
