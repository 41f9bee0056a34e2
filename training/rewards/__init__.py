"""Reward models: trained on rankings or preferences, exported for a server, scored with."""
