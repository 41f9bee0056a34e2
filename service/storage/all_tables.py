"""Every table of the service in one `metadata`: what migrations, taken together, must make."""

import service.files.tables
import service.jobs.tables
import service.reviews.tables
import service.watch.tables  # noqa: F401
from service.storage.tables import metadata

__all__ = ["metadata"]
