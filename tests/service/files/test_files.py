import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from service.errors import ApiError
from service.files.folder import FileFolder
from service.files.upload import receive_file
from service.keys import create_key
from service.settings import Settings
from service.storage.database import open_service_database, service_url
from tests.service.batches.made_batches import line, uploaded
from tests.service.conftest import Open

BOUNDARY = "edge"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple[str, str, bytes], end: bool = True) -> bytes:
    body = b""
    for name, more, content in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode() * end


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


FILE = ("file", '; filename="a/b\\"é.jsonl"', b"one\r\n--two\n" * 1000)


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
async def test_a_form_is_read_however_it_is_cut(tmp_path: Path, size: int) -> None:
    body = form(FILE, ("purpose", "", b"batch"))
    told = await receive_file(FORM, pieces(body, size), tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == FILE[2]
    assert (told.fields, told.size) == ({"purpose": "batch"}, len(FILE[2]))
    assert "/" not in told.filename


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", form(FILE), 415),
        (FORM, form(FILE, end=False), 400),
        (FORM, form(("purpose", "", b"batch")), 400),
        (FORM, b"nonsense", 400),
        (FORM, form(("purpose", "", b"x" * 5000), FILE), 400),
        (FORM, form(FILE, FILE), 400),
        (FORM, form(*[(f"f{n}", "", b"x") for n in range(40)], FILE), 400),
    ],
    ids=["no form", "no boundary", "broken off", "no file", "nonsense", "long field", "two files",
         "many fields"],
)  # fmt: skip
async def test_what_is_no_such_form_leaves_nothing(
    tmp_path: Path, content_type: str, body: bytes, status: int
) -> None:
    with pytest.raises(ApiError) as caught:
        await receive_file(content_type, pieces(body, 100), tmp_path / "kept")
    assert caught.value.status == status
    assert list(tmp_path.iterdir()) == []


async def test_a_client_that_hangs_up_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield form(FILE, end=False)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await receive_file(FORM, broken(), tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own: its limit on file sizes stands for the disk's."""
    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import asyncio, sys; from pathlib import Path; "
        "from service.errors import ApiError; from service.files.upload import receive_file\n"
        "async def body():\n"
        "  yield b'--edge\\r\\nContent-Disposition: form-data; name=\"file\"\\r\\n\\r\\n'\n"
        "  for _ in range(50): yield b'x' * 65536\n"
        "form = 'multipart/form-data; boundary=edge'\n"
        "try: asyncio.run(receive_file(form, body(), Path(sys.argv[1]) / 'kept'))\n"
        "except ApiError as error: print(error.status, error.code)"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[3],
        capture_output=True, text=True, preexec_fn=limit,
    )  # fmt: skip
    assert done.stdout.strip() == "507 disk_full", done.stderr[-500:]
    assert os.listdir(tmp_path) == []


async def test_files_are_listed_read_and_deleted(client: httpx.AsyncClient) -> None:
    ids = [await uploaded(client, line(n)) for n in range(3)]
    listed = (await client.get("/v1/files", params={"limit": 2, "purpose": "batch"})).json()
    assert [file["id"] for file in listed["data"]] == ids[:0:-1]
    assert listed["has_more"]
    rest = (await client.get("/v1/files", params={"after": listed["last_id"]})).json()
    assert [file["id"] for file in rest["data"]] == ids[:1]
    told = (await client.get(f"/v1/files/{ids[0]}")).json()
    assert (told["bytes"], told["filename"]) == (len(line(0)), "in.jsonl")
    some = await client.get(f"/v1/files/{ids[0]}/content", headers={"Range": "bytes=0-3"})
    assert (some.status_code, some.text) == (206, line(0)[:4])
    assert (await client.delete(f"/v1/files/{ids[0]}")).json()["deleted"] is True
    assert (await client.get(f"/v1/files/{ids[0]}/content")).status_code == 404


async def test_an_unknown_purpose_is_refused_and_nothing_kept(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    answer = await client.post("/v1/files", data={"purpose": "fun"}, files={"file": ("a", b"x")})
    assert answer.json()["error"]["code"] == "invalid_purpose"
    assert list((tmp_path / "home" / "files" / "local").iterdir()) == []


async def test_a_file_that_is_too_large_is_refused(opened: Open, tmp_path: Path) -> None:
    async with opened(max_upload_bytes=10_000) as client:
        answer = await client.post(
            "/v1/files", data={"purpose": "batch"}, files={"file": ("a", b"x" * 20_000)}
        )
        assert answer.status_code == 413
        assert not list((tmp_path / "home").rglob("file-*"))


@pytest.mark.parametrize("way", ["/v1/files/{}", "/v1/files/{}/content"])
@pytest.mark.parametrize("file", ["..%2F..%2Fvotes.db", "file-" + "a" * 90, "file-none", "%00"])
async def test_no_file_is_reached_by_a_path(client: httpx.AsyncClient, way: str, file: str) -> None:
    answer = await client.get(way.format(file))
    assert answer.status_code == 404


async def test_tenants_see_their_own_files_and_batches_only(opened: Open, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    database = open_service_database(service_url(settings))
    ours, theirs = [
        {"Authorization": f"Bearer {create_key(database, tenant, ['label'])}"}
        for tenant in ("ours", "theirs")
    ]
    database.dispose()
    async with opened(keys_required=True) as client:
        sent = await client.post(
            "/v1/files", data={"purpose": "batch"}, files={"file": ("a", line(1).encode())},
            headers=ours,
        )  # fmt: skip
        file = sent.json()["id"]
        batch = await client.post("/v1/batches", json={"input_file_id": file}, headers=ours)
        made = f"/v1/batches/{batch.json()['id']}"
        paths = [f"/v1/files/{file}", f"/v1/files/{file}/content", made, f"{made}/output"]
        for path in paths:
            assert (await client.get(path, headers=theirs)).status_code == 404
            assert (await client.get(path, headers=ours)).status_code == 200
        assert (await client.delete(f"/v1/files/{file}", headers=theirs)).status_code == 404
        assert (await client.get("/v1/files", headers=theirs)).json()["data"] == []
        assert (await client.get("/v1/batches", headers=theirs)).json()["data"] == []
        stolen = await client.post("/v1/batches", json={"input_file_id": file}, headers=theirs)
        assert stolen.status_code == 404


def test_a_tenant_or_id_that_could_be_a_path_has_none(tmp_path: Path) -> None:
    engine: Engine = open_service_database(service_url(Settings(home=tmp_path)))
    files = FileFolder(engine, tmp_path)
    for tenant, file in (("..", "file-1"), ("a", "../file-1"), ("a", "file-"), ("a/b", "file-1")):
        with pytest.raises(ValueError, match="no file's id"):
            files.path(tenant, file)
    engine.dispose()
