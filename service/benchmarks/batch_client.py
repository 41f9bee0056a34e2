"""A batch by plain HTTP, from a process that outlives the service: asked again until it answers."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from judges.errors import ModelError

OVER = ("completed", "failed", "expired", "cancelled")
BOUNDARY = "charter-benchmark"
PATIENCE_S = 60.0
CONSTITUTION = "plain-speech@1"


def batch_line(number: int, constitution: str = CONSTITUTION) -> dict[str, Any]:
    """A comparison that no other line asks for."""
    return {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/compare",
        "body": {
            "constitution": constitution,
            "prompt": f"What should a beginner know about topic {number}?",
            "completions": [
                f"Start with the basics of topic {number}. Practise a little every day.",
                f"Topic {number} is best learnt by doing: pick a small task and finish it.",
            ],
        },
    }


def write_lines(path: Path, numbers: Iterable[int], constitution: str = CONSTITUTION) -> None:
    """A batch's input."""
    with path.open("w") as file:
        for number in numbers:
            file.write(json.dumps(batch_line(number, constitution)) + "\n")


def start_batch(address: str, folder: Path, lines: int, first: int = 0) -> str:
    """Upload so many lines, make a batch of them; returns its id."""
    path = folder / "input.jsonl"
    write_lines(path, range(first, first + lines))
    file = upload(address, path)
    asked = {"input_file_id": file, "endpoint": "/v1/compare"}
    # Repeated, where the answer was lost with the service: one batch all the same.
    made = call(address, "/v1/batches", asked, headers={"Idempotency-Key": file})
    return str(made["id"])


def finish_batch(address: str, batch: str, seconds: float, every_s: float = 0.25) -> dict[str, Any]:
    """The batch once it is over. Raises: ModelError when it takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        told = read_batch(address, batch)
        if told and told["status"] in OVER:
            return told
        time.sleep(every_s)
    raise ModelError(f"{batch} is not over after {seconds:.0f} s: {told}")


def read_batch(address: str, batch: str) -> dict[str, Any] | None:
    """A batch as it stands; None while the service is away."""
    try:
        return call(address, f"/v1/batches/{batch}", patience_s=0)
    except ModelError:
        return None


def read_rows(address: str, file: str | None) -> list[dict[str, Any]]:
    """The rows of a file."""
    if file is None:
        return []
    content = _read(f"{address}/v1/files/{file}/content", None, {}, PATIENCE_S)
    return [json.loads(line) for line in content.splitlines()]


def call(
    address: str,
    path: str,
    body: Any = None,
    patience_s: float = PATIENCE_S,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the service answers. Raises: ModelError when it does not, or refuses."""
    data = None if body is None else json.dumps(body).encode()
    typed = {"Content-Type": "application/json", **(headers or {})}
    told: dict[str, Any] = json.loads(_read(f"{address}{path}", data, typed, patience_s))
    return told


def _read(url: str, data: Any, headers: Mapping[str, str], patience_s: float) -> bytes:
    """A whole answer. `data` may be a function that makes a fresh body for each attempt."""
    deadline = time.monotonic() + patience_s
    while True:
        body = data() if callable(data) else data
        try:
            asked = urllib.request.Request(url, data=body, headers=dict(headers))
            with urllib.request.urlopen(asked, timeout=30) as answer:
                content: bytes = answer.read()
            return content
        except urllib.error.HTTPError as error:
            said, again = error.read()[:300], error.code >= 500
            if not again or time.monotonic() > deadline:
                raise ModelError(f"{url}: HTTP {error.code}: {said!r}") from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                raise ModelError(f"{url}: {error}") from None
        time.sleep(0.2)


def upload(address: str, path: Path) -> str:
    """Upload a batch's input, streamed; returns the file's id."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"'
        "\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def body() -> Iterable[bytes]:
        yield head
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block
        yield tail

    size = len(head) + path.stat().st_size + len(tail)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(size),
    }
    return str(json.loads(_read(f"{address}/v1/files", body, headers, PATIENCE_S))["id"])
