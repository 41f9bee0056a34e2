"""What each principle does in a labelled run, and what an edit would change: no model is called."""
