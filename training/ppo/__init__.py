"""Proximal policy optimisation, ours: text in, any reward."""
