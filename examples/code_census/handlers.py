"""The handlers of the census. They are sync functions, so each runs in a child process of the worker."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_sdk import task

LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"})
REPORTED = 10

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@task("census.list_packages")
def list_packages(input: dict[str, Any]) -> dict[str, Any]:
    """Return the packages below `root` and the modules in it, by name, without tests."""
    root = Path(input.get("root") or sysconfig.get_paths()["stdlib"])
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is no directory on the worker's machine: give `root` another one")
    modules = [_entry(root, file.stem, file) for file in root.glob("*.py")]
    packages = [_entry(root, name, directory) for name, directory in _packages(root, "")]
    return {"root": str(root), "packages": sorted(modules + packages, key=lambda entry: entry["name"])}


@task("census.count_package")
def count_package(package: dict[str, str]) -> dict[str, Any]:
    """Count the files, lines, functions and classes of a module, or of a package without its sub-packages."""
    path = Path(package["root"], package["path"])
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    count: dict[str, Any] = {"name": package["name"], "files": len(files)}
    count |= {"lines": 0, "functions": 0, "classes": 0, "unreadable": 0, "longest_function": None}
    for file in files:
        source = file.read_bytes()
        count["lines"] += len(source.splitlines())
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # a source tree may have files for other versions of Python
            count["unreadable"] += 1
        else:
            module = (
                package["name"]
                if path == file or file.stem == "__init__"
                else f"{package['name']}.{file.stem}"
            )
            _count_tree(tree, module, count)
    return count


@task("census.report")
def report(input: dict[str, Any]) -> dict[str, Any]:
    """Return the totals, the largest packages, and the longest function."""
    counts = input["counts"]
    totals = {key: sum(count[key] for count in counts) for key in ("files", "lines", "functions", "classes")}
    longest = [count["longest_function"] for count in counts if count["longest_function"]]
    return {
        "root": input["root"],
        "packages": len(counts),
        **totals,
        "unreadable": sum(count["unreadable"] for count in counts),
        "longest_function": max(longest, key=_by_length, default=None),
        "largest": sorted(counts, key=lambda count: (-count["lines"], count["name"]))[:REPORTED],
    }


def _packages(directory: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Yield every package below a directory, at any depth, with its dotted name."""
    for child in directory.iterdir():
        if child.is_dir() and child.name.isidentifier() and child.name not in LEFT_OUT:
            name = prefix + child.name
            if any(child.glob("*.py")):
                yield name, child
            yield from _packages(child, name + ".")


def _entry(root: Path, name: str, path: Path) -> dict[str, str]:
    return {"name": name, "root": str(root), "path": str(path.relative_to(root))}


def _count_tree(tree: ast.Module, module: str, count: dict[str, Any]) -> None:
    for node, name in _definitions(tree, module):
        if isinstance(node, ast.ClassDef):
            count["classes"] += 1
            continue
        count["functions"] += 1
        found = {"name": name, "lines": (node.end_lineno or node.lineno) - node.lineno + 1}
        known = count["longest_function"]
        if known is None or _by_length(found) > _by_length(known):
            count["longest_function"] = found


def _definitions(parent: ast.AST, prefix: str) -> Iterator[tuple[FunctionNode | ast.ClassDef, str]]:
    """Yield every function and class with its dotted name. Use no recursion: code may be nested deeply."""
    waiting = [(parent, prefix)]
    while waiting:
        node, name = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode | ast.ClassDef):
                yield child, f"{name}.{child.name}"
                waiting.append((child, f"{name}.{child.name}"))
            else:
                waiting.append((child, name))


def _by_length(function: dict[str, Any]) -> tuple[int, str]:
    return function["lines"], function["name"]
