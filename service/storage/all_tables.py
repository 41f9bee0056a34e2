"""Every table of the service in one `metadata`: what migrations, taken together, must make."""

import service.files.tables
import service.jobs.tables  # noqa: F401
from service.storage.tables import metadata

__all__ = ["metadata"]
