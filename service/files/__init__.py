"""Uploaded and made files: streamed to disk, kept apart by tenant."""
