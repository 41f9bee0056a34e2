"""Training jobs: recipes run by `charter train`, in processes that outlive the service."""
