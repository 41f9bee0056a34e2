"""Constitutions over HTTP: list, read, compare, check, publish for ever."""

import asyncio
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import Field, StringConstraints

from judges.canonical import digest
from judges.constitutions.constitution import SLUG, VERSION, Constitution
from judges.constitutions.diff import Change, Cost, Diff, compare, headline
from judges.constitutions.files import find_constitution
from judges.constitutions.published import Deprecation, deprecations, published_digests
from judges.constitutions.yaml_source import MAX_BYTES
from judges.records import Record
from service.access import Access, needs, refuse_lacking, request_id
from service.context import Running, Service
from service.errors import ApiError
from service.impact import QUEUE, ImpactJob, ImpactRequest, edited, impact_job
from service.jobs.lifecycle import find_job, new_id, submit
from service.jobs.records import Submission
from service.publishing import Checked, Published, check_draft, publish_draft
from service.routes.files import find_file
from service.routing import OrjsonRoute

router = APIRouter(tags=["constitutions"], route_class=OrjsonRoute)
Reader = Annotated[Access, needs("label")]
Name = Annotated[str, Path(pattern=SLUG, max_length=64, examples=["helpful-harmless"])]
Version = Annotated[str, Path(pattern=VERSION, max_length=40, examples=["1.0.0"])]
Tag = Annotated[str | None, Header(description="What an earlier answer's ETag was")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BYTES)]


class VersionEntry(Record):
    """One version of a constitution."""

    reference: str
    """`name@version`."""
    version: str
    """As in the reference."""
    published: bool
    """Whether it is promised never to change."""
    own: bool
    """Whether it is the tenant's, not one that everybody may name."""
    deprecated: Deprecation | None = None
    """Why it should be used no more."""


class ConstitutionEntry(Record):
    """A constitution with its versions, oldest first."""

    name: str
    """Its folder's name."""
    versions: tuple[VersionEntry, ...]
    """Oldest first."""


class Constitutions(Record):
    """What a tenant may name."""

    constitutions: tuple[ConstitutionEntry, ...]
    """By name."""


class WholeConstitution(Record):
    """One version, parents resolved."""

    reference: str
    """`name@version`."""
    digest: str
    """The overall digest, which every verdict names."""
    digests: dict[str, str]
    """What judges read, what aggregation reads, what critique and revision read."""
    deprecated: Deprecation | None = None
    """Why it should be used no more."""
    constitution: Constitution
    """The whole of it."""


class Differences(Record):
    """What sets two versions apart, and what each change costs."""

    before: str
    """The old version."""
    after: str
    """The new version."""
    cost: Cost
    """The dearest of the changes: votes, checks, labels, revisions or nothing."""
    summary: tuple[str, ...]
    """Each change in a line."""
    changes: tuple[Change, ...]
    """Each change in full."""


class DraftRequest(Record):
    """A draft to check, or to publish."""

    action: Literal["validate", "publish"] = "validate"
    """`validate` changes nothing; `publish` needs the scope `publish`."""
    yaml: Text = Field(examples=["name: brief\nversion: 1.0.0\n…"])
    """The whole file."""
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    """With `publish`: what changed and why, for the changelog."""


@router.get("/v1/constitutions", response_model=Constitutions)
async def list_all(service: Running, access: Reader, if_none_match: Tag = None) -> Response:
    """Every constitution and version that the key may name."""
    told = await asyncio.to_thread(_entries, service, access.tenant, None)
    return _tagged(Constitutions(constitutions=told), if_none_match)


@router.get("/v1/constitutions/{name}", response_model=ConstitutionEntry)
async def list_versions(
    name: Name, service: Running, access: Reader, if_none_match: Tag = None
) -> Response:
    """The versions of one constitution."""
    await asyncio.to_thread(service.library.load, name, access.tenant)
    (told,) = await asyncio.to_thread(_entries, service, access.tenant, name)
    return _tagged(told, if_none_match)


@router.get("/v1/constitutions/{name}/diff", response_model=Differences)
async def show_differences(
    name: Name,
    service: Running,
    access: Reader,
    before: Annotated[str, Query(alias="from", pattern=VERSION, examples=["1.0.0"])],
    after: Annotated[str, Query(alias="to", pattern=VERSION, examples=["1.1.0"])],
    if_none_match: Tag = None,
) -> Response:
    """What sets two versions apart, and what each change costs: votes, labels, or nothing."""
    old, new = await asyncio.gather(
        *(
            asyncio.to_thread(service.library.load, f"{name}@{version}", access.tenant)
            for version in (before, after)
        )
    )
    return _tagged(_differences(compare(old, new)), if_none_match)


@router.get(
    "/v1/constitutions/{name}/{version}",
    response_model=WholeConstitution,
    responses={200: {"content": {"application/yaml": {}}}},
)
async def read(
    name: Name,
    version: Version,
    service: Running,
    access: Reader,
    if_none_match: Tag = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """One version: parents resolved, as JSON; or the file as it was written, as YAML."""
    reference = f"{name}@{version}"
    whole = await asyncio.to_thread(service.library.load, reference, access.tenant)
    if "yaml" in accept:
        path = find_constitution(reference, service.library.folders(access.tenant))
        text = await asyncio.to_thread(path.read_bytes)
        return _answer(text, f'"{whole.digest}-yaml"', if_none_match, "application/yaml")
    told = await asyncio.to_thread(_whole, service, access.tenant, whole)
    return _tagged(told, if_none_match)


@router.post("/v1/constitutions", response_model=Checked | Published)
async def check_or_publish(
    asked: DraftRequest, request: Request, service: Running, access: Reader
) -> Response:
    """Check a draft, or publish it as a version of the key's tenant, for ever."""
    told: Record
    if asked.action == "validate":
        told = await asyncio.to_thread(check_draft, service, access.tenant, asked.yaml)
        return _json(told, 200)
    refuse_lacking(access, "publish")
    told = await asyncio.to_thread(
        publish_draft, service, access, asked.yaml, asked.message, request_id(request)
    )
    service.library.forget(access.tenant)
    return _json(told, 201)


@router.post("/v1/constitutions/{name}/impact", status_code=202)
async def preview_impact(
    name: Name, asked: ImpactRequest, service: Running, access: Reader
) -> ImpactJob:
    """Begin to find out which labels of a run an edit would flip. No model is called."""
    load = asyncio.to_thread(service.library.load, f"{name}@{asked.before}", access.tenant)
    await asyncio.gather(load, asyncio.to_thread(edited, service, access.tenant, name, asked))
    await find_file(service, access.tenant, asked.file_id)
    spec = {"name": name, "request": asked.model_dump(mode="json")}
    submission = Submission(
        id=new_id("impact_"), tenant=access.tenant, queue=QUEUE, spec=spec, planned=False
    )
    job, _ = await asyncio.to_thread(submit, service.database, submission)
    service.work_came()
    return impact_job(job)


@router.get("/v1/impacts/{impact_id}")
async def read_impact(
    impact_id: Annotated[str, Path(max_length=100)], service: Running, access: Reader
) -> ImpactJob:
    """A preview as it stands."""
    job = await asyncio.to_thread(find_job, service.database, access.tenant, QUEUE, impact_id)
    if job is None:
        raise ApiError(404, "unknown_impact", f"no preview {impact_id!r}", "begin one")
    return impact_job(job)


def _entries(service: Service, tenant: str, only: str | None) -> tuple[ConstitutionEntry, ...]:
    own = service.library.own_folder(tenant).resolve()
    by_name: dict[str, list[VersionEntry]] = {}
    for file in service.library.list(tenant):
        if only not in (None, file.name):
            continue
        folder = file.path.resolve().parent.parent
        by_name.setdefault(file.name, []).append(
            VersionEntry(
                reference=file.reference,
                version=file.version,
                published=file.reference in published_digests(folder),
                own=folder == own,
                deprecated=deprecations(folder).get(file.reference),
            )
        )
    return tuple(
        ConstitutionEntry(name=name, versions=tuple(versions)) for name, versions in by_name.items()
    )


def _whole(service: Service, tenant: str, whole: Constitution) -> WholeConstitution:
    folder = find_constitution(whole.reference, service.library.folders(tenant)).parent.parent
    return WholeConstitution(
        reference=whole.reference,
        digest=whole.digest,
        digests=whole.digests.model_dump(),
        deprecated=deprecations(folder).get(whole.reference),
        constitution=whole,
    )


def _differences(found: Diff) -> Differences:
    return Differences(
        before=found.before,
        after=found.after,
        cost=found.cost,
        summary=tuple(headline(change) for change in found.changes),
        changes=found.changes,
    )


def _tagged(told: Record, seen: str | None) -> Response:
    value = told.model_dump(mode="json")
    return _answer(orjson.dumps(value), f'"{digest(value)[:32]}"', seen, "application/json")


def _answer(content: bytes, tag: str, seen: str | None, kind: str) -> Response:
    """The content under its tag; 304 without it for who has it already."""
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if seen is not None and tag in {one.strip().removeprefix("W/") for one in seen.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _json(told: Record, status: int) -> Response:
    content = orjson.dumps(told.model_dump(mode="json"))
    return Response(content, status, media_type="application/json")
