"""The directories inside a data directory."""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from embedded_stack.binaries import Binaries, copy_binaries
from embedded_stack.errors import StackError
from embedded_stack.identity import Identity, UnreachableError, choose_identity

_SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103
OPEN_PLACE = Path("/var/lib/embedded-stack")
_MAX_SOCKET_NAME = len("/.s.PGSQL.65535.lock")


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one stack, which exist and belong to their users."""

    data: Path
    state: Path
    """The data of the servers, closed to other users."""
    sockets: Path
    identity: Identity
    binaries: Binaries

    @property
    def logs(self) -> Path:
        """The directory of the log files, one for each child."""
        return self.data / "logs"

    @property
    def pids(self) -> Path:
        """The directory of the pid files, one for each running child."""
        return self.data / "run"


def prepare_layout(data: Path, found: Binaries, open_place: Path = OPEN_PLACE) -> Layout:
    """Create the directories under `data`, and choose the user and the binaries of the servers.

    If root's servers cannot enter `data`, their directories are under `open_place`. May be repeated. Raise
    StackError if no user fits.
    """
    link = data / "servers"
    if link.is_symlink() and not link.exists():
        link.unlink()  # its target was removed
    link.mkdir(parents=True, exist_ok=True)
    home = link.resolve()
    try:
        identity = _identity(home)
    except UnreachableError:
        if (home / "state").exists():
            raise  # the user would no longer find the existing data
        home = _home_elsewhere(link, open_place)
        identity = _identity(home)
    state = home / "state"
    state.mkdir(exist_ok=True)
    identity.owns(state)
    binaries = _reachable(found, home, identity)
    return Layout(data, state, _socket_directory(state, identity), identity, binaries)


def _identity(home: Path) -> Identity:
    if os.geteuid() == 0:
        # The user of the servers has to enter these directories; `prepare_layout` closes the data itself.
        home.parent.chmod(0o755)
        home.chmod(0o755)
    return choose_identity(home, home / "state")


def _home_elsewhere(link: Path, open_place: Path) -> Path:
    """Create a directory for root's servers that others can enter, and link it from the data directory.

    This is for a data directory below /root, for example, in a container without user namespaces.
    """
    open_place.mkdir(mode=0o755, parents=True, exist_ok=True)
    elsewhere = Path(tempfile.mkdtemp(dir=open_place))
    link.rmdir()
    link.symlink_to(elsewhere)
    return elsewhere


def _reachable(found: Binaries, home: Path, identity: Identity) -> Binaries:
    """Return binaries that this identity can execute. A virtual environment may be in a closed directory."""
    if identity.can_run(found.postgres("initdb"), "--version") and identity.can_run(
        found.valkey_server, "--version"
    ):
        return found
    copy = copy_binaries(found, home / "bin")
    if not identity.can_run(copy.postgres("initdb"), "--version"):
        raise StackError(
            f"the servers' programs in {home / 'bin'} cannot be executed (is it mounted noexec?): "
            "set WORKFLOW_DATA_DIR to a directory on another file system"
        )
    return copy


def _socket_directory(state: Path, identity: Identity) -> Path:
    """Return a directory for Unix sockets whose path is short enough for the kernel."""
    sockets = state / "sockets"
    if len(os.fsencode(sockets)) + _MAX_SOCKET_NAME > _SOCKET_PATH_LIMIT:
        name = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
        sockets = Path(tempfile.gettempdir()) / f"embedded-stack-{name}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    owner = os.geteuid() if identity.uid is None else identity.uid
    if sockets.is_symlink() or sockets.stat().st_uid not in (owner, os.geteuid()):
        raise StackError(
            f"{sockets} belongs to another user: remove it, or set WORKFLOW_DATA_DIR to a shorter path"
        )
    identity.owns(sockets)
    return sockets
