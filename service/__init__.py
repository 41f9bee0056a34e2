"""The HTTP edge of charter: routes over the same functions that the command line calls."""
