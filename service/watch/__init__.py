"""The reward-hacking watch: what a policy in training does to its reward, over time."""
