"""Files that are made to hurt: each is refused at once, in little memory, and with a sentence.

Memory and time are measured in a process of its own, whose address space is bounded too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workflowctl.errors import CommandError
from workflowctl.files import read_bytes
from workflowctl.source import read

MIB = 1024 * 1024
MAX_CPU_SECONDS = 2.0
"""Twice what the slowest file takes on a machine with other work."""
MAX_GROWTH_MIB = 128
MEASURE = """
import json, resource, sys, time
from workflowctl.definition_file import load
from workflowctl.errors import CommandError
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, began, told = peak(), time.process_time(), None
try:
    load(sys.argv[1], "orders")
except CommandError as error:
    told = " ".join([error.message, *(problem.text for problem in error.problems)])
print(json.dumps([told, time.process_time() - began, peak() - before]))
"""


def laughs(member: str, repeated: str) -> str:
    lines = [f"a0: &a0 {member}"]
    for n in range(1, 12):
        aliases = ",".join([f"*a{n - 1}"] * 9)
        lines.append(f"a{n}: &a{n} {repeated % aliases}")
    return "\n".join(lines)


LONG_KEY = "k" * 700_000
HOSTILE = {
    "billion laughs": (laughs("[lol]", "[%s]"), "each use of an alias counts in full"),
    "merge keys": (laughs("{a: 1, b: 2}", "{<<: [%s]}"), "each use of an alias counts in full"),
    "itself": ("a: &a [*a]", "nested over 100 levels"),
    "many aliases": ("a: &a 1\nb: [" + "*a," * 100_000 + "]", "over 100 aliases"),
    "brackets": ("[" * (MIB - 1), "nested over 100 levels"),
    "braces": ("{a: " * 250_000, "nested over 100 levels"),
    "dashes": ("- " * 500_000, "nested over 100 levels"),
    "question marks": ("? " * 500_000, "nested over 100 levels"),
    "too large": ("[" * (100 * MIB), "larger than the 1,048,576 bytes"),
    "many values": ("tasks: [" + "x," * 500_000 + "]", "over 100,000 values"),
    "many documents": ("---\n" * 250_000, "over 100,000 values"),
    "a key twice": ("{" + "a: 1," * 40_000 + "}", "has the key 'a' twice"),
    "a long key over many values": (f"{{? {LONG_KEY} : [" + "0," * 90_000 + "]}", "20,000 characters"),
    "long keys in a row": (
        f"{{? {'k' * 9_000} : " * 60 + "[" + "0," * 90_000 + "]" + "}" * 60,
        "20,000 characters",
    ),
    "a giant number": ("a: " + "9" * (MIB - 10), "too large for a number"),
    "a giant tag": ("a: !!" + "x" * (MIB - 10), "constructor"),
    "control characters": ("a: \x01\x02", "control character"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_bounded_time_and_memory(tmp_path: Path, name: str) -> None:
    text, sentence = HOSTILE[name]
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, timeout=60, check=True
    )

    told, seconds, grown = json.loads(ran.stdout)

    assert sentence in told
    assert len(told) < 1_000
    assert seconds < MAX_CPU_SECONDS
    assert grown < MAX_GROWTH_MIB


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * (MIB - 1), "nested over 100 levels"),
        ('{"a":' * 200_000, "nested over 100 levels"),
        ('{"' + LONG_KEY + '": [' + "0," * 90_000 + "0]}", "20,000 characters"),
        ("[" * 101 + "]" * 101, "nested over 100 levels"),
        ('{"a": ' + "9" * 5_000 + "}", "too large for a number"),
        ('{"a": "\x07"}', "control character"),
    ],
)
def test_hostile_json_is_refused_too(text: str, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        read("w.json", text.encode())
    assert sentence in caught.value.problems[0].text


def test_a_giant_text_is_read_as_it_is() -> None:
    text = "x" * (MIB - 10)
    assert read("w.yaml", f"a: {text}".encode()).value == {"a": text}


def test_a_pipe_a_device_and_a_directory_are_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)

    for target, sentence in (
        (str(pipe), "is a pipe: send it to standard input"),
        ("/dev/zero", "is a device"),
        (str(tmp_path), "is a directory"),
        (str(tmp_path / "nowhere.yaml"), "No such file"),
        ("a\0.yaml", "is not a valid file name"),
    ):
        with pytest.raises(CommandError, match=sentence):
            read_bytes(target)


def test_no_more_of_a_file_is_read_than_may_be(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1024**4)

    assert len(read_bytes(str(path))) == MIB + 1


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CommandError) as caught:
        read("w.yaml", b"\x7fELF\x02\x01\x01\x00\xff\xfe")
    assert caught.value.problems[0].place.startswith("w.yaml:1:")
