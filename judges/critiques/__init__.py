"""Critique and revise: a model says where a completion falls short, rewrites it, is checked."""
