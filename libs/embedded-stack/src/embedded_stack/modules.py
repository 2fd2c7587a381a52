"""Search for Python modules without importing them."""

import importlib.util
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from embedded_stack.errors import StackError


def can_be_found(module: str) -> bool:
    """Return whether a process in this folder could import the module. Do not run its code."""
    first, *rest = module.split(".")
    spec = _first_of_the_path(first) or _anywhere(first)
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = PathFinder.find_spec(f"{spec.name}.{name}", list(spec.submodule_search_locations))
    return spec is not None


def require_modules(names: Iterable[str]) -> None:
    """Raise StackError for the first name without a module."""
    for name in names:
        if not can_be_found(name):
            file = name.replace(".", "/")
            raise StackError(
                f"WORKER_MODULES names `{name}`, but there is no such module: neither {file}.py in "
                f"{Path.cwd()}, nor in PYTHONPATH, nor installed. Start in the folder that has it, or "
                "correct the name"
            )


def _first_of_the_path(name: str) -> ModuleSpec | None:
    """Look in the folders that a new process adds to the path."""
    return PathFinder.find_spec(
        name, [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    )


def _anywhere(name: str) -> ModuleSpec | None:
    """Ask every finder, such as finders of editable installs. A loaded module may have no spec."""
    try:
        return importlib.util.find_spec(name)
    except (ValueError, ImportError):
        return getattr(sys.modules.get(name), "__spec__", None)
