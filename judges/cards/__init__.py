"""The judge card: how far a judge's verdicts can be trusted, measured against people's labels."""
