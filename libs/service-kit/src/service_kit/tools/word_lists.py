"""Settings that are lists of words separated by commas."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

NAME_PATTERN: Final = r"[a-z][a-z0-9-]{0,62}"
MAX_NAMES: Final = 64

_MODULE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_MAX_CHARACTERS: Final = 32_768


def words(text: str) -> list[str]:
    """Return the words of a list separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def names(text: str) -> str:
    """Return the list without duplicates. Raise ValueError if it has over 64 names or an invalid name."""
    unique = list(dict.fromkeys(words(text)))
    if len(unique) > MAX_NAMES or not all(re.fullmatch(NAME_PATTERN, word) for word in unique):
        raise ValueError(f"must be at most {MAX_NAMES} names such as `gpu` or `gpu-2`, separated by commas")
    return ",".join(unique)


def modules(text: str) -> str:
    """Return the text if it is a list of Python modules. Otherwise raise ValueError."""
    if len(text) > _MAX_CHARACTERS or not all(_MODULE.fullmatch(word) for word in words(text)):
        raise ValueError("must be names of Python modules such as `orders.handlers`, separated by commas")
    return text


NameList = Annotated[str, AfterValidator(names)]
ModuleList = Annotated[str, AfterValidator(modules)]
