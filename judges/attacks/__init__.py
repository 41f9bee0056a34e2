"""What completions can do to their judge: attacks, what they must not break, what they do."""
