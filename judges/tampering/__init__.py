"""Labelled pairs without people: good completions, and copies that violate one principle."""
