"""Drafts over HTTP: what is wrong with one, and its publication into the tenant's own folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from judges.constitutions.files import parse_constitution
from judges.constitutions.lifecycle import publish
from judges.constitutions.lint import Finding, lint_constitution
from judges.constitutions.semver import Step
from judges.errors import ConstitutionError, DataError
from judges.records import Record
from judges.store.schema import writing
from service.access import Access
from service.context import Service
from service.errors import ApiError
from service.keys import write_audit

DRAFT = "draft"


class Checked(Record):
    """What a draft is worth."""

    valid: bool
    """Whether it could be published as far as the draft itself goes."""
    reference: str | None = None
    """`name@version`, where it can be read."""
    digest: str | None = None
    """Its overall digest, where it can be read."""
    faults: tuple[str, ...] = Field((), examples=[("draft:4:9: tier is 'hihg' …",)])
    """What keeps it from being published, by line and column."""
    findings: tuple[Finding, ...] = ()
    """What its author may want to look at again."""


class Published(Record):
    """A version that from now on never changes."""

    reference: str
    """`name@version`."""
    digest: str
    """Its overall digest."""
    previous: str | None
    """The version before it; none for the first."""
    step: Step | None
    """The step from that one."""
    findings: tuple[Finding, ...]
    """What lint would look at again."""


def check_draft(service: Service, tenant: str, text: str) -> Checked:
    """What is wrong with a draft, if anything. Blocks; no model call."""
    try:
        constitution = parse_constitution(text.encode(), DRAFT, service.library.folders(tenant))
    except ConstitutionError as error:
        return Checked(valid=False, faults=tuple(service.library.plain(error).splitlines()))
    findings = tuple(lint_constitution(constitution))
    faults = tuple(f"{DRAFT}: {one.sentence}" for one in findings if one.forbids)
    return Checked(
        valid=not faults,
        reference=constitution.reference,
        digest=constitution.digest,
        faults=faults,
        findings=findings,
    )


def publish_draft(
    service: Service, access: Access, text: str, message: str, request_id: str
) -> Published:
    """The draft as a version of the tenant's own, on the audit log. Blocks.

    Raises: ApiError 409 for a version that is published; ConstitutionError for what is wrong with
    the draft; ApiError 507 when it cannot be written.
    """
    own = service.library.own_folder(access.tenant)
    folders = service.library.folders(access.tenant)
    try:
        own.mkdir(parents=True, exist_ok=True)
        with _alone(own), TemporaryDirectory(prefix="charter-draft-") as folder:
            draft = Path(folder) / f"{DRAFT}.yaml"
            draft.write_bytes(text.encode())
            made = publish(draft, own, message, folders)
    except ConstitutionError as error:
        told = service.library.plain(error)
        if "published already" in told or "claims" in told:
            raise ApiError(409, "published_already", told, "give the draft a new version") from None
        raise ConstitutionError(told) from None
    except (OSError, DataError) as error:
        raise ApiError(
            507, "storage_full", "the constitution cannot be stored now",
            "the service's disk is full or cannot be written; nothing was published",
            retry_after_s=60,
        ) from error  # fmt: skip
    with writing(service.database) as connection:
        write_audit(
            connection, access.tenant, "constitution published",
            f"{made.reference} {made.digest[:16]}", key_id=access.key_id, request_id=request_id,
        )  # fmt: skip
    return Published.model_validate(made.model_dump(exclude={"path"}))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of those who publish into a folder at once, one at a time: also from several processes."""
    descriptor = os.open(folder / ".publishing", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
