"""The OpenAPI 3.1 document, as text: `python -m service.openapi` prints it."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from service.app import create_app
from service.settings import Settings


def openapi_document() -> dict[str, Any]:
    """The document of a service as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(home=Path(folder), judges=("default",)))
        try:
            return app.openapi()
        finally:
            app.state.service.votes.close()
            app.state.service.database.dispose()


def openapi_text() -> str:
    """The document as the golden file holds it."""
    return json.dumps(openapi_document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
