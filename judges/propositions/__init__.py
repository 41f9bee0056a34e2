"""Rule-based rewards: yes/no statements graded by probability, weighed by hand or by a fit.

Source: Mu et al., Rule Based Rewards for Language Model Safety, NeurIPS 2024, arXiv 2411.01111.
"""
