"""The user that the servers run as.

PostgreSQL refuses to run as root, and initdb needs a user with a name. So root's servers run as `nobody`. If
that is not allowed, or if `nobody` cannot reach the data directory, they run in a user namespace: they are
root outside it and uid 65534 inside. The servers of an ordinary user run as this user.
"""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_stack.errors import StackError

_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534
_OWN_SERVERS = "run your own PostgreSQL and Redis, and set DEFAULT_CONNECTION, READ_ONLY_CONNECTION and REDIS"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a child process. The default is the user of this process."""

    uid: int | None = None
    """The user that child processes become; None keeps this process's user."""
    gid: int | None = None
    user_namespace: bool = False
    """True if a child process is uid 65534 in a new user namespace."""

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments with which subprocess starts a child as this identity."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def enter(self) -> None:
        """Enter the user namespace, if there is one.

        A new child calls this before it executes its program.
        """
        if not self.user_namespace:
            return
        uid, gid = os.geteuid(), os.getegid()
        if _libc.unshare(_CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1")

    def can_run(self, *command: str | Path) -> bool:
        """Return whether a child of this identity can run the command successfully."""
        try:
            result = subprocess.run(
                [str(part) for part in command],
                check=False,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,
                preexec_fn=self.enter if self.user_namespace else None,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return result.returncode == 0

    def owns(self, directory: Path) -> None:
        """Give the directory to this identity, and close it to others."""
        if self.uid is not None and self.gid is not None:
            os.chown(directory, self.uid, self.gid)
        directory.chmod(0o700)

    def owns_file(self, file: Path) -> None:
        """Give the file to this identity, and close it to others."""
        if self.uid is not None and self.gid is not None:
            os.chown(file, self.uid, self.gid)
        file.chmod(0o600)


OWN = Identity()
NAMESPACED = Identity(user_namespace=True)


class UnreachableError(StackError):
    """Every user that may run the servers lacks access to the directory."""


def choose_identity(home: Path, state: Path) -> Identity:
    """Return the user of the servers whose files are in `state`, a directory inside `home`.

    The owner of an existing `state` stays, because PostgreSQL refuses the data of another user. Raise
    StackError if this system allows no such user, and UnreachableError if only the permissions of this
    directory prevent it.
    """
    if os.geteuid() != 0:
        return _ordinary_user(state)
    for identity in _candidates(state):
        if identity.can_run("/bin/sh", "-c", 'test -x "$0"', home):
            return identity
    if not any(identity.can_run("/bin/sh", "-c", "true") for identity in _candidates(state)):
        raise StackError(
            "PostgreSQL refuses to run as root, and neither another user nor a user namespace is "
            f"allowed here: start as an ordinary user, or {_OWN_SERVERS}"
        )
    raise UnreachableError(
        f"PostgreSQL refuses to run as root, and the user it would run as cannot enter {home}: open the "
        "directories above it (chmod a+x), or set WORKFLOW_DATA_DIR to one that others can enter"
    )


def _ordinary_user(state: Path) -> Identity:
    if state.exists() and state.stat().st_uid != os.geteuid():
        raise StackError(
            f"the data in {state} belongs to another user ({_user_name(state.stat().st_uid)}): "
            "start as that user, or set WORKFLOW_DATA_DIR to a directory of your own"
        )
    if _has_name(os.geteuid()):
        return OWN
    if sys.platform == "linux" and NAMESPACED.can_run("/bin/sh", "-c", "true"):
        return NAMESPACED
    raise StackError(
        f"uid {os.geteuid()} has no name and user namespaces are off: add a line to /etc/passwd, "
        f"or {_OWN_SERVERS}"
    )


def _candidates(state: Path) -> Sequence[Identity]:
    """Return the possible users of root's servers, the best first."""
    if state.exists():
        owner = state.stat()
        return [NAMESPACED] if owner.st_uid == 0 else [Identity(owner.st_uid, owner.st_gid)]
    nobody = pwd.getpwnam("nobody")
    return [Identity(nobody.pw_uid, nobody.pw_gid), NAMESPACED]


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _user_name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if _has_name(uid) else f"uid {uid}"
