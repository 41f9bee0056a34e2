"""Ranking a run again under an edited constitution, for the price of the votes it lacks."""
