"""What the service keeps beside votes: keys, files, batches, jobs, reviews."""
