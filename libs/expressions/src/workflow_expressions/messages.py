"""Translate the CEL library's error messages into sentences for the author of a workflow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BUDGET_SIGN: Final = "Iteration budget exceeded"
"""Part of the CEL library's message after 10,000 loop steps."""

_STATUS_CODE: Final = re.compile(r"^[A-Z_]+: ")
_COMPILE_ERROR: Final = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<text>[^\n]*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(?P<name>[^']+)'")
_OVERLOAD: Final = re.compile(
    r"found no matching overload for '(?P<function>[^']+)' applied to '\((?P<types>.*)\)'"
)
_RUNTIME_OVERLOAD: Final = re.compile(r"No matching overloads found : (?P<function>.*?)\((?P<types>.*)\)$")
_MISSING_KEY: Final = re.compile(r"Key not found in map : (?P<key>.*)$")
_INDEX: Final = re.compile(r"Index error: index=(?P<index>-?\d+) size=(?P<size>\d+)")
_NUMBERS: Final = frozenset({"int", "int64", "uint", "uint64", "double"})


@dataclass(frozen=True, slots=True)
class CompileProblem:
    """The reason why an expression does not compile. `name` is set if the reason is an unknown name."""

    text: str
    line: int
    column: int
    name: str = ""


def compile_problem(message: str) -> CompileProblem:
    """Return the first problem of the library's message that has a position in the expression."""
    found = _COMPILE_ERROR.search(message)
    if found is None or int(found["line"]) < 1:
        return CompileProblem(_limit(message), 0, 0)
    line, column = int(found["line"]), int(found["column"])
    undeclared = _UNDECLARED.search(found["text"])
    if undeclared is not None:
        return CompileProblem("", line, column, undeclared["name"])
    return CompileProblem(_syntax(found["text"]), line, column)


def evaluation_problem(message: str) -> str:
    """Return the sentence for an error that CEL returned as the result."""
    message = _STATUS_CODE.sub("", message).removesuffix(" [INTERNAL]")
    if found := _MISSING_KEY.search(message):
        return (
            f"there is no key {found['key']}: check the spelling, test for it with `has(...)`, "
            "or give a default with `.?key.orValue(...)`"
        )
    if found := _INDEX.search(message):
        return f"index {found['index']} is out of range: the list has {found['size']} elements"
    if found := _RUNTIME_OVERLOAD.search(message):
        return _no_overload(found["function"], found["types"])
    return _plain(message)


def not_bound(root: str) -> str:
    """Return the sentence for a name that the caller did not bind."""
    return f"`{root}` has no value yet: use it only in places where the workflow defines it"


def _plain(message: str) -> str:
    """Return our sentence for a message that we know, or the message itself."""
    for sign, sentence in (
        (BUDGET_SIGN, "it takes over 10,000 loop steps: loop over less, or do it in a task's handler"),
        ("<iter_range>", "only a list or an object has elements: check the value before `.map`, `.all`, ..."),
        ("<jump_condition>", "the condition before `?` must be true or false"),
        ("_&&_", "both sides of `&&` must be true or false"),
        ("_||_", "both sides of `||` must be true or false"),
        ("Applying SELECT", "only an object has keys: check the value before the last dot"),
        ("divide by zero", "division by zero: guard it with `? :`"),
        ("modulus by zero", "division by zero: guard it with `? :`"),
    ):
        if sign in message:
            return sentence
    return f"{message}: check the values it works on"


def _syntax(text: str) -> str:
    if found := _OVERLOAD.search(text):
        return _no_overload(found["function"], found["types"])
    text = text.removeprefix("Syntax error: ").split(" expecting ")[0]
    text = text.replace("mismatched input '<EOF>'", "the expression ends too early")
    return f"{text}: correct the expression"


def _no_overload(function: str, types: str) -> str:
    operator = function.replace("_", "") if function.startswith(("_", "!", "-")) else function
    kinds = [each.strip() for each in types.split(",")]
    sentence = f"`{operator}` does not take ({types})"
    if len(kinds) == 2 and set(kinds) <= _NUMBERS and len(set(kinds)) == 2:
        return f"{sentence}: CEL does not mix whole numbers and decimals, write `double(x)` or `int(x)`"
    return f"{sentence}: convert with `string(x)`, `int(x)` or `double(x)`, or check the value"


def _limit(message: str) -> str:
    if "recursion" in message:
        return (
            "the expression is nested too deeply (over 32 levels): split it, or move the work into a handler"
        )
    return f"{_STATUS_CODE.sub('', message).splitlines()[0]}: correct the expression"
