"""Constitutions on disk: references, `extends`, and the promise that a version never changes.

A folder of constitutions holds NAME/VERSION.yaml, and digests.json with what is published. A
reference is resolved once; what comes back has every parent's principles in it.
"""

import json
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from judges.constitutions import published
from judges.constitutions.constitution import NUMBER, SLUG, VERSION, Constitution, Principle
from judges.constitutions.misfits import misfits
from judges.constitutions.yaml_source import MAX_BYTES, YamlSource, read_yaml
from judges.errors import ConstitutionError
from judges.progress import say
from judges.records import Record
from judges.suggest import did_you_mean, no_such_file

REFERENCE = re.compile(
    rf"(?P<name>{SLUG[1:-1]})(?:@(?P<version>{NUMBER}(?:\.{NUMBER}){{0,2}}))?", re.ASCII
)
MAX_GENERATIONS = 64
FORMS = "name@1.0.0, name@1, name, sha256:<12 digits or more>, or a path ending in .yaml"


class ConstitutionFile(Record):
    """Where one version of a constitution lies; its content has not been looked at."""

    name: str
    """The folder's name."""
    version: str
    """The file's name without `.yaml`."""
    path: Path
    """The file."""

    @property
    def reference(self) -> str:
        """The exact reference, `name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, to find the newest."""
        return tuple(int(number) for number in self.version.split("."))


def constitution_folders() -> tuple[Path, ...]:
    """Where references are looked up: the shipped folder, then CHARTER_CONSTITUTIONS."""
    shipped = Path(__file__).resolve().parents[2] / "constitutions"
    more = os.environ.get("CHARTER_CONSTITUTIONS", "").split(os.pathsep)
    return (shipped, *(Path(folder) for folder in more if folder))


def list_constitutions(folders: Sequence[Path] | None = None) -> tuple[ConstitutionFile, ...]:
    """Every constitution file in the folders, by name, oldest version first."""
    files = [
        ConstitutionFile(name=path.parent.name, version=path.stem, path=path)
        for folder in (constitution_folders() if folders is None else folders)
        for path in sorted(Path(folder).glob("*/*.yaml"))
        if re.match(VERSION, path.stem) and re.match(SLUG, path.parent.name)
    ]
    return tuple(sorted(files, key=lambda file: (file.name, file.order)))


def load_constitution(
    reference: str, folders: Sequence[Path] | None = None, *, warn: bool = True
) -> Constitution:
    """The constitution that a reference means now, parents resolved, checked throughout.

    References: `name@1.0.0`, `name@1` (newest 1.x), `name` (newest), `sha256:<hex>` of the overall
    digest, or a path. A deprecated version loads; `warn` says so on stderr, once a process.
    Raises: ConstitutionError, one line for each fault: file, line, reason and remedy.
    """
    library = _Library(folders)
    if reference.startswith("sha256:"):
        constitution = library.by_digest(reference.removeprefix("sha256:").lower())
    else:
        constitution = library.load(library.path(reference))
    for used in (constitution.reference, *constitution.extends) if warn else ():
        if used in library.deprecated:
            _say_deprecated(used, library.deprecated[used])
    return constitution


def find_constitution(reference: str, folders: Sequence[Path] | None = None) -> Path:
    """The file that a reference means, unread; a digest is no such reference."""
    return _Library(folders).path(reference)


@cache
def _say_deprecated(reference: str, deprecation: published.Deprecation) -> None:
    """Cached, so that it is said once."""
    instead = f"; use {deprecation.successor}" if deprecation.successor else ""
    say(f"{reference} is deprecated: {deprecation.reason}{instead}")


def parse_constitution(
    content: bytes, where: str, folders: Sequence[Path] | None = None
) -> Constitution:
    """A constitution from a file's content, parents looked up in the folders.

    Raises: ConstitutionError as `load_constitution` does, with `where` for the file's name.
    """
    return _Library(folders).resolve(*_read(content, where), chain=())


class _Library:
    """The folders searched, and what one look-up has already loaded from them."""

    def __init__(self, folders: Sequence[Path] | None) -> None:
        self.folders = constitution_folders() if folders is None else tuple(map(Path, folders))
        self.files = list_constitutions(self.folders)
        self.loaded: dict[Path, Constitution] = {}
        self.deprecated: dict[str, published.Deprecation] = {}

    def path(self, reference: str) -> Path:
        """The file that a reference other than a digest means."""
        if reference.endswith((".yaml", ".yml")) or "/" in reference or os.sep in reference:
            return Path(reference)
        return self.find(reference)

    def find(self, reference: str) -> Path:
        """The file that a name with all, some or none of its version means."""
        matched = REFERENCE.fullmatch(reference)
        if matched is None:
            raise ConstitutionError(f"constitution {reference!r} is no reference; use {FORMS}")
        name, version = matched["name"], matched["version"]
        fits = [
            file
            for file in self.files
            if file.name == name
            and (version is None or f"{file.version}.".startswith(f"{version}."))
        ]
        if not fits:
            raise ConstitutionError(f"constitution {reference!r} {self._absence(name)}")
        same = [file.path for file in fits if file.order == fits[-1].order]
        if len({path.read_bytes() for path in same}) > 1:
            paths = " and ".join(map(str, same))
            raise ConstitutionError(f"{paths} both claim {fits[-1].reference}; rename one of them")
        return same[0]

    def _absence(self, name: str) -> str:
        """Why nothing was found, and what is there instead."""
        versions = [file.version for file in self.files if file.name == name]
        if versions:
            return f"is not there; {name} has {', '.join(versions)}"
        searched = ", ".join(map(str, self.folders))
        if Path(f"{name}.yaml").is_file():
            return f"is not found in {searched}; for the file here write {name}.yaml"
        strays = [path for folder in self.folders for path in sorted(folder.glob(f"{name}/*.y*ml"))]
        if strays:
            return f"is not found: {strays[0]} is passed over; a file is called 1.0.0.yaml"
        hint = did_you_mean(name, {file.name for file in self.files})
        return f"is not found in {searched}{hint}; add a folder with CHARTER_CONSTITUTIONS"

    def by_digest(self, prefix: str) -> Constitution:
        """The one constitution whose overall digest begins so."""
        if not re.fullmatch("[0-9a-f]{12,64}", prefix):
            raise ConstitutionError(f"'sha256:{prefix}' is no digest; give 12 to 64 hex digits")
        found: dict[str, Constitution] = {}
        faults: list[str] = []
        for file in self.files:
            try:
                constitution = self.load(file.path)
            except ConstitutionError as error:
                faults.append(str(error).partition("\n")[0])
                continue
            if constitution.digest.startswith(prefix):
                found[constitution.digest] = constitution
        if len(found) == 1:
            return found.popitem()[1]
        searched = ", ".join(map(str, self.folders))
        state = "fits several constitutions; give more digits" if found else f"is not in {searched}"
        passed_over = f"; passed over: {' | '.join(faults)}" if faults else ""
        raise ConstitutionError(f"constitution 'sha256:{prefix}' {state}{passed_over}")

    def load(self, path: Path, chain: tuple[str, ...] = ()) -> Constitution:
        """A file's constitution; `chain` holds the references that led here through `extends`."""
        if path not in self.loaded:
            own, source = _read(_content(path), str(path))
            folder = path.resolve().parent.parent
            shelved = folder in {known.resolve() for known in self.folders}
            if shelved:
                _refuse_misplaced(own, source, path)
            constitution = self.resolve(own, source, chain)
            if shelved or _stands_published(own, path):
                where = source.position(("version",))
                published.refuse_changed(constitution, published.published_digests(folder), where)
                self.deprecated |= published.deprecations(folder)
            self.loaded[path] = constitution
        return self.loaded[path]

    def resolve(
        self, own: Constitution, source: YamlSource, chain: tuple[str, ...]
    ) -> Constitution:
        """A constitution with its parents' principles and settings in it."""
        chain = (*chain, own.reference)
        parents: list[Constitution] = []
        for index, reference in enumerate(own.extends):
            where = source.position(("extends", index))
            if reference in chain:
                circle = " → ".join((*chain[chain.index(reference) :], reference))
                raise ConstitutionError(
                    f"{where}: extends goes round in a circle: {circle}; remove one of the steps"
                )
            if len(chain) > MAX_GENERATIONS:
                raise ConstitutionError(
                    f"{where}: more than {MAX_GENERATIONS} generations of parents; "
                    f"copy the principles you need"
                )
            parents.append(self.load(self._parent(reference, where), chain))
        return _merged(own, parents, source)

    def _parent(self, reference: str, where: str) -> Path:
        try:
            return self.find(reference)
        except ConstitutionError as error:
            raise ConstitutionError(f"{where}: extends: {error}") from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConstitutionError(f"{no_such_file(path)}; or give {FORMS}") from None
    except OSError as error:
        raise ConstitutionError(
            f"{path}: cannot be read ({error.strerror}); give {FORMS}"
        ) from error


def _read(content: bytes, where: str) -> tuple[Constitution, YamlSource]:
    """What one file says by itself, and where it says it."""
    source = read_yaml(content, where)
    if not isinstance(source.data, dict):
        what = "is empty" if source.data is None else "is not made of `key: value` lines"
        raise ConstitutionError(f"{where}:1:1: the file {what}; begin with `name: …`")
    try:
        # As JSON, because strict mode takes lists for tuples there, yet no '2' for a number.
        own = Constitution.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        raise ConstitutionError(misfits(error, source)) from error
    return own, source


def _stands_published(own: Constitution, path: Path) -> bool:
    """Whether it lies where `publish` puts it, be its folder named by a setting or not."""
    place = path.resolve()
    return (own.name, f"{own.version}.yaml") == (place.parent.name, place.name)


def _refuse_misplaced(own: Constitution, source: YamlSource, path: Path) -> None:
    place = path.resolve()
    for key, says, expected in (
        ("name", own.name, place.parent.name),
        ("version", own.version, place.stem),
    ):
        if says != expected:
            what = "folder" if key == "name" else "file"
            raise ConstitutionError(
                f"{source.position((key,))}: {key} is {says!r}, but the {what} is called "
                f"{expected!r}; make them equal"
            )


def _merged(own: Constitution, parents: Sequence[Constitution], source: YamlSource) -> Constitution:
    principles = {p.id: p for parent in parents for p in parent.principles}
    _refuse_bad_drops(own, principles, source)
    for dropped in own.drop:
        principles.pop(dropped, None)
    principles |= {principle.id: principle for principle in own.principles}
    if not principles:
        raise ConstitutionError(f"{source.position(('drop',))}: no principle is left; drop fewer")
    settings = {parent.aggregate for parent in parents}
    if "aggregate" in own.model_fields_set or not parents:
        settings = {own.aggregate}
    if len(settings) > 1:
        raise ConstitutionError(
            f"{source.position(('extends',))}: the parents differ in aggregate; write `aggregate: "
            f"{{…}}` here to settle it"
        )
    update = {"principles": tuple(principles.values()), "aggregate": settings.pop()}
    return own.model_copy(update=update)


def _refuse_bad_drops(
    own: Constitution, inherited: dict[str, Principle], source: YamlSource
) -> None:
    for index, dropped in enumerate(own.drop):
        where = source.position(("drop", index))
        if dropped not in inherited:
            hint = did_you_mean(dropped, inherited) or "; remove it from the list"
            raise ConstitutionError(
                f"{where}: drop: no principle of the parents is called {dropped!r}{hint}"
            )
        if dropped in {principle.id for principle in own.principles}:
            raise ConstitutionError(
                f"{where}: {dropped!r} is dropped and also defined here; to replace a "
                f"principle, define it and do not drop it"
            )
