"""From judge logits to probabilities people can trust: calibration, agreement, panels, abstention.

Pure functions over numpy arrays. A pair's logit is positive where the first completion is
preferred; labels are 1 (first), 0 (second) and 0.5 (tie); NaN is a pair that was not scored.
"""
