"""Files over HTTP, in OpenAI's shape: inputs of batches, outputs, data to train on."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from judges.records import Record
from service.access import Access, needs
from service.context import Running, Service
from service.errors import ApiError
from service.files.folder import FILE_ID, FileFolder, StoredFile
from service.files.upload import receive_file
from service.jobs.lifecycle import new_id

router = APIRouter(tags=["files"])
PURPOSES = ("batch", "training", "rankings")
Labeller = Annotated[Access, needs("label")]
Limit = Annotated[int, Query(ge=1, le=1000)]
UPLOAD_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}


class FileObject(Record):
    """A file."""

    id: str
    """Names it."""
    object: Literal["file"] = "file"
    """Always `file`."""
    bytes: int
    """Its size."""
    created_at: int
    """Seconds since 1970."""
    filename: str
    """As it was uploaded."""
    purpose: str
    """`batch`, `training`, `rankings`, or `batch_output`."""
    status: Literal["processed"] = "processed"
    """Always `processed`: a file that is not whole is not there."""


class FileList(Record):
    """A page of files, the newest first."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[FileObject]
    """The files."""
    first_id: str | None
    """The first one's id."""
    last_id: str | None
    """The last one's, for `after`."""
    has_more: bool
    """Whether there are older ones."""


class FileDeleted(Record):
    """A file that was there."""

    id: str
    """What named it."""
    object: Literal["file"] = "file"
    """Always `file`."""
    deleted: Literal[True] = True
    """Always true."""


def files_of(service: Service) -> FileFolder:
    """The service's files."""
    return FileFolder(service.database, service.files_folder)


@router.post("/v1/files", openapi_extra=UPLOAD_FORM)
async def upload(request: Request, service: Running, access: Labeller) -> FileObject:
    """Upload a file, streamed to disk. One that breaks off leaves nothing behind."""
    files, file = files_of(service), new_id("file-")
    path = files.path(access.tenant, file)
    content_type = request.headers.get("content-type", "")
    told = await receive_file(content_type, request.stream(), path)
    purpose = told.fields.get("purpose", "")
    if purpose not in PURPOSES:
        await asyncio.to_thread(path.unlink)
        raise ApiError(
            422, "invalid_purpose", f"purpose is {purpose!r}", f"use {', '.join(PURPOSES)}"
        )
    kept = await asyncio.to_thread(
        files.keep, access.tenant, file, purpose, told.filename, told.size
    )
    return _object(kept)


@router.get("/v1/files")
async def list_files(
    service: Running,
    access: Labeller,
    purpose: str | None = None,
    after: str | None = None,
    limit: Limit = 100,
) -> FileList:
    """Your files, the newest first, in pages."""
    found, more = await asyncio.to_thread(
        files_of(service).list, access.tenant, purpose, after, limit
    )
    data = [_object(file) for file in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FileList(data=data, first_id=first, last_id=last, has_more=more)


@router.get("/v1/files/{file_id}")
async def read_file(file_id: str, service: Running, access: Labeller) -> FileObject:
    """One of your files: its name, size and purpose."""
    return _object(await find_file(service, access.tenant, file_id))


@router.get("/v1/files/{file_id}/content", response_class=FileResponse)
async def read_content(file_id: str, service: Running, access: Labeller) -> FileResponse:
    """A file's bytes, or some of them, by `Range`."""
    found = await find_file(service, access.tenant, file_id)
    path = files_of(service).path(access.tenant, found.id)
    return FileResponse(path, media_type="application/octet-stream", filename=found.filename)


@router.delete("/v1/files/{file_id}")
async def delete_file(file_id: str, service: Running, access: Labeller) -> FileDeleted:
    """Delete a file for good. A batch that was made of it goes on."""
    found = await find_file(service, access.tenant, file_id)
    await asyncio.to_thread(files_of(service).remove, access.tenant, found.id)
    return FileDeleted(id=found.id)


async def find_file(service: Service, tenant: str, file: str) -> StoredFile:
    """A tenant's file. Raises: ApiError 404, the same for what is another tenant's."""
    found = None
    if FILE_ID.fullmatch(file):
        found = await asyncio.to_thread(files_of(service).find, tenant, file)
    if found is None:
        raise ApiError(404, "not_found", f"file {file[:80]!r} is not there", "GET /v1/files")
    return found


def _object(file: StoredFile) -> FileObject:
    told: dict[str, Any] = file.model_dump(include={"id", "bytes", "filename", "purpose"})
    return FileObject(**told, created_at=int(file.created_at))
