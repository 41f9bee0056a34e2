"""Constitutions as requests may name them: shipped ones and the tenant's own, never a path."""

import re
import time
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from judges.constitutions.constitution import SLUG, Constitution
from judges.constitutions.files import (
    REFERENCE,
    ConstitutionFile,
    constitution_folders,
    find_constitution,
    list_constitutions,
    load_constitution,
)
from judges.errors import ConstitutionError
from service.errors import ApiError

DIGEST = re.compile(r"sha256:[0-9a-fA-F]{12,64}", re.ASCII)
DRAFT_PATH = re.compile(r"[^\s:]*/charter-draft-[^/\s]+/draft(\.yaml)?")
KEPT = 512
REMEMBERED_S = 1.0
"""How long a reference means the same without a look at the folders."""


class Library:
    """The constitutions of each tenant. Safe to use from threads."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._recent: OrderedDict[tuple[str, str], tuple[float, Constitution]] = OrderedDict()
        self._parsed: dict[Path, tuple[tuple[int, int], Constitution]] = {}
        self._lock = Lock()

    def own_folder(self, tenant: str) -> Path:
        """Where a tenant's own constitutions lie; a tenant's name is a slug, so no path."""
        if not re.fullmatch(SLUG[1:-1], tenant, re.ASCII):
            raise ConstitutionError(f"tenant {tenant!r} is no name of lower-case words")
        return self._home / "constitutions" / tenant

    def folders(self, tenant: str) -> tuple[Path, ...]:
        """Where a tenant's references are looked up."""
        return (*constitution_folders(), self.own_folder(tenant))

    def list(self, tenant: str) -> tuple[ConstitutionFile, ...]:
        """Every version that a tenant may name."""
        return list_constitutions(self.folders(tenant))

    def load(self, reference: str, tenant: str) -> Constitution:
        """What a reference means to a tenant now.

        Raises: ApiError 404 for what is not there, ConstitutionError for what cannot be used.
        """
        place = tenant, refuse_path(reference)
        with self._lock:
            at, kept = self._recent.get(place, (-REMEMBERED_S, None))
        if kept is not None and time.monotonic() - at < REMEMBERED_S:
            return kept
        try:
            constitution = self._read(reference, self.folders(tenant))
        except ConstitutionError as error:
            raise self._told(error) from None
        with self._lock:
            self._recent[place] = time.monotonic(), constitution
            while len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        return constitution

    def _read(self, reference: str, folders: tuple[Path, ...]) -> Constitution:
        """A constitution, parsed anew only where its file is another than last time."""
        if reference.startswith("sha256:"):
            return load_constitution(reference, folders, warn=False)
        path = find_constitution(reference, folders)
        seen = path.stat()
        version = seen.st_mtime_ns, seen.st_size
        if (parsed := self._parsed.get(path)) and parsed[0] == version:
            return parsed[1]
        constitution = load_constitution(str(path), folders, warn=False)
        self._parsed[path] = version, constitution
        return constitution

    def forget(self, tenant: str) -> None:
        """Look at the folders again for a tenant that has published something."""
        with self._lock:
            for place in [place for place in self._recent if place[0] == tenant]:
                del self._recent[place]

    def plain(self, error: ConstitutionError) -> str:
        """What an error says, without the folders of this machine."""
        text = str(error)
        for folder in (*constitution_folders(), self._home / "constitutions"):
            text = text.replace(str(folder.resolve()), folder.name)
            text = text.replace(str(folder), folder.name)
        return DRAFT_PATH.sub("draft", text).partition("; add a folder")[0]

    def _told(self, error: ConstitutionError) -> Exception:
        text = self.plain(error)
        if text.startswith("constitution "):
            return ApiError(
                404, "unknown_constitution", text, "GET /v1/constitutions lists what there is"
            )
        return ConstitutionError(text)


def refuse_path(reference: str) -> str:
    """The reference itself. Raises: ApiError for one that is a path, or of no known form."""
    if REFERENCE.fullmatch(reference) or DIGEST.fullmatch(reference):
        return reference
    raise ApiError(
        422, "invalid_reference", f"constitution {reference!r} is no reference",
        "use name@1.0.0, name@1, name, or sha256: and 12 or more hex digits",
    )  # fmt: skip
