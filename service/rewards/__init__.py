"""Rewards for RL frameworks: what each sends, what each takes back, and how groups are judged."""
