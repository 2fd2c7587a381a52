"""Every error that the code can raise has what `error_reason.proto` promises for its reason.

The test reads the calls of `service_kit.errors` in the source: the status code is the function's name, the
reason its first argument, and the metadata its keywords.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from service_kit import errors

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "protos/workflowsystem/type/v1/error_reason.proto"
SOURCES = [
    path
    for folder in ("libs/service-kit/src", "services")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "errors.py" or path.parent.name != "service_kit"
]
FUNCTIONS = {
    "invalid_argument",
    "failed_precondition",
    "out_of_range",
    "not_found",
    "already_exists",
    "aborted",
    "resource_exhausted",
    "unavailable",
    "unimplemented",
}
BY_HAND = {"INTERNAL"}
"""Made by `errors.internal`, which sets the metadata itself."""
COMPUTED = {
    "error.reason": ("WORKFLOW_NOT_FOUND", "VERSION_NOT_FOUND"),
    "violation.reason": ("FIELD_INVALID", "PAYLOAD_INVALID"),
}
NEXT_CODE = re.compile(r"^([A-Z_]{5,})(?:\.|, without metadata:) ", re.MULTILINE)


class Promise(NamedTuple):
    """What a comment says of a reason."""

    codes: dict[str, set[str]]
    """The names of the metadata, by status code."""
    has_example: bool


class Raised(NamedTuple):
    """One call in the source."""

    where: str
    code: str
    reasons: tuple[str, ...]
    metadata: set[str]
    violations: bool


def promises() -> dict[str, Promise]:
    found = {}
    comment: list[str] = []
    for line in PROTO.read_text().splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
        else:
            if value := re.match(r"ERROR_REASON_(\w+) = \d+;", text):
                found[value[1]] = _promise("\n".join(comment))
            comment.clear()
    del found["UNSPECIFIED"]
    return found


def _promise(comment: str) -> Promise:
    parts = NEXT_CODE.split(comment)[1:]
    codes = {}
    for code, text in zip(parts[::2], parts[1::2], strict=True):
        named = re.search(r"Metadata: ((?:`\w+`(?:, )?)+)", text.replace("\n", " "))
        codes[code] = set(re.findall(r"`(\w+)`", named[1])) if named else set()
    return Promise(codes, "Example: " in comment)


def raised() -> Iterator[Raised]:
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        known = _imported(tree) | {f"errors.{name}" for name in FUNCTIONS}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in known:
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield _raised(where, name.removeprefix("errors."), node)


def _imported(tree: ast.Module) -> set[str]:
    """The functions that the module imports from `service_kit.errors`."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if node.module == "service_kit.errors" for alias in node.names}
    return names & FUNCTIONS


def _raised(where: str, name: str, call: ast.Call) -> Raised:
    metadata = {keyword.arg for keyword in call.keywords if keyword.arg not in (None, "metadata")}
    for keyword in call.keywords:
        if keyword.arg == "metadata":
            assert isinstance(keyword.value, ast.Dict), f"{where}: write the metadata as a dict"
            metadata |= {key.value for key in keyword.value.keys if isinstance(key, ast.Constant)}
    return Raised(where, name.upper(), _reasons(call.args[0]), metadata, len(call.args) > 2)


def _reasons(argument: ast.expr) -> tuple[str, ...]:
    if isinstance(argument, ast.Constant):
        return (str(argument.value),)
    source = ast.unparse(argument)
    return COMPUTED.get(
        source, (source.removeprefix("errors."),)
    )  # or a constant that is named as the reason


PROMISES = promises()
RAISED = list(raised())


@pytest.mark.parametrize("reason", PROMISES)
def test_each_reason_has_a_code_and_an_example_and_is_used(reason: str) -> None:
    promise = PROMISES[reason]

    assert promise.codes, "begin the comment with the status code and a full stop"
    assert all(hasattr(errors, code.lower()) for code in promise.codes)
    assert promise.has_example
    assert reason in BY_HAND or any(reason in each.reasons for each in RAISED)


@pytest.mark.parametrize("each", RAISED, ids=lambda each: each.where)
def test_each_error_has_a_documented_reason_with_its_code_and_metadata(each: Raised) -> None:
    for reason in each.reasons:
        assert reason in PROMISES, "describe the reason in error_reason.proto"
        assert each.code in PROMISES[reason].codes
        assert PROMISES[reason].codes[each.code] <= each.metadata
    if each.code == "INVALID_ARGUMENT":
        assert each.violations, "give a FieldViolation; its field is empty for the whole request"


def test_the_test_reads_the_source() -> None:
    assert len(RAISED) > 40
    assert len(PROMISES) >= 28
    (mine,) = [each for each in RAISED if each.reasons == ("RESUME_TOKEN_EXPIRED",)]

    assert mine.metadata == {"execution_id", "sequence"}
