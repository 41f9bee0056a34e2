"""A service that listens on a port of this machine, as clients meet it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.app import create_app
from service.settings import Settings

Serve = Callable[..., AbstractContextManager[str]]


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an ASGI application, served in a thread of its own."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves on the fake judge, with any settings changed."""

    def open_(**changed: Any) -> AbstractContextManager[str]:
        settings = Settings(home=tmp_path / "home", judges=("fake",)).model_copy(update=changed)
        return served(create_app(settings))

    return open_


@pytest.fixture
def address(serve: Serve) -> Iterator[str]:
    """The address of a service as it comes, with the fake judge."""
    with serve() as url:
        yield url
