"""Work for a request that ends when its client has hung up."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

Result = TypeVar("Result")


class ClientGone(Exception):
    """Nobody is left to take the answer."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of work, which is cancelled when the client hangs up.

    A client that gives up and repeats its call would else wait twice in its group.
    Raises: ClientGone; what the work raises.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for one in (task, gone):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
