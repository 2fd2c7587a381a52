"""Where things are inside a data directory."""

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
    """The directories of one stack, made and given to those who use them."""

    data: Path
    state: Path
    """What the servers own: their data, closed to others."""
    sockets: Path
    identity: Identity
    binaries: Binaries

    @property
    def logs(self) -> Path:
        """One log file per child."""
        return self.data / "logs"

    @property
    def pids(self) -> Path:
        """One pid file per running child."""
        return self.data / "run"


def prepare_layout(data: Path, found: Binaries, open_place: Path = OPEN_PLACE) -> Layout:
    """Make the directories under `data`, and decide who runs the servers and from which binaries.

    If root's servers cannot enter `data`, their directories are under `open_place`. May be repeated. Raises
    StackError when no identity fits.
    """
    link = data / "servers"
    if link.is_symlink() and not link.exists():
        link.unlink()  # what it led to was removed
    link.mkdir(parents=True, exist_ok=True)
    home = link.resolve()
    try:
        identity = _identity(home)
    except UnreachableError:
        if (home / "state").exists():
            raise  # data must not be lost from sight
        home = _home_elsewhere(link, open_place)
        identity = _identity(home)
    state = home / "state"
    state.mkdir(exist_ok=True)
    identity.owns(state)
    binaries = _reachable(found, home, identity)
    return Layout(data, state, _socket_directory(state, identity), identity, binaries)


def _identity(home: Path) -> Identity:
    if os.geteuid() == 0:
        # Whoever the servers run as has to get through; what they own is closed by `prepare_layout`.
        home.parent.chmod(0o755)
        home.chmod(0o755)
    return choose_identity(home, home / "state")


def _home_elsewhere(link: Path, open_place: Path) -> Path:
    """Put root's servers where others can enter, with a link from the data directory.

    For a data directory below, say, /root in a container that allows no user namespaces.
    """
    open_place.mkdir(mode=0o755, parents=True, exist_ok=True)
    elsewhere = Path(tempfile.mkdtemp(dir=open_place))
    link.rmdir()
    link.symlink_to(elsewhere)
    return elsewhere


def _reachable(found: Binaries, home: Path, identity: Identity) -> Binaries:
    """Return binaries this identity can execute: a virtual environment may lie in a closed directory."""
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
