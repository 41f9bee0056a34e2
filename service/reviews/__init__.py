"""Reviews: pairs on which judging disagrees with itself, put before people, blind."""
