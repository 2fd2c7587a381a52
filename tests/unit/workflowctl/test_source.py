"""YAML and JSON of users: data only, every key once, bounded, with places."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflowctl.errors import CommandError
from workflowctl.source import read


def problem(data: bytes, name: str = "w.yaml") -> str:
    with pytest.raises(CommandError) as caught:
        read(name, data)
    return " ".join([caught.value.message, *(f"{p.place} {p.text}" for p in caught.value.problems)])


def test_malformed_yaml_is_named_by_line_and_column() -> None:
    assert "w.yaml:3:5 a `:` is not allowed here" in problem(b"a: 1\nb: x\n   c: 2\n")


def test_malformed_json_is_named_by_line_and_column() -> None:
    assert "w.json:2:9" in problem(b'{"a": 1,\n "b": 2 3}', "w.json")


def test_a_key_that_is_there_twice_is_refused_where_it_is() -> None:
    assert "w.yaml:3:1 this has the key 'a' twice" in problem(b"a: 1\nb: 2\na: 3\n")
    assert "w.json:1:10 this has the key 'a' twice" in problem(b'{"a": 1, "a": 2}', "w.json")


def test_words_stay_words_and_dates_stay_text() -> None:
    text = b"on: no\nat: 2024-01-01\ntime: 12:30\nn: 010\nx: 0x1f\nnone: ~\nempty:\nyes: true\nf: 1.5e3"
    assert read("w.yaml", text).value == {
        "on": "no",
        "at": "2024-01-01",
        "time": "12:30",
        "n": 10,
        "x": 31,
        "none": None,
        "empty": None,
        "yes": True,
        "f": 1500.0,
    }


def test_keys_are_text() -> None:
    assert "w.yaml:1:1 this has the key '1', which is not a string" in problem(b"1: x")


def test_a_nul_and_bad_encoding_are_named_by_their_place() -> None:
    assert "w.yaml:2:4 there is a NUL character" in problem(b"a: 1\nb: \x00")
    assert "w.yaml:2:4 this is not UTF-8" in problem(b"a: 1\nb: \xff")


def test_tags_make_no_objects() -> None:
    assert "could not determine a constructor" in problem(b"a: !!python/object/apply:os.system ['true']")


def test_aliases_work_and_are_bounded_by_what_they_stand_for() -> None:
    assert read("w.yaml", b"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}").value["d"] == {"b": 1, "e": 2}
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )

    assert "each use of an alias counts in full" in problem(bomb.encode())


def test_a_yaml_value_that_contains_itself_is_refused() -> None:
    assert "nested" in problem(b"a: &x\n  b: *x\n")


def test_too_many_aliases_are_refused() -> None:
    assert "over 100 aliases" in problem(b"a: &x 1\nb: [" + b"*x, " * 101 + b"]")


@pytest.mark.parametrize("name", ["w.yaml", "w.json"])
def test_depth_is_bounded(name: str) -> None:
    assert "nested over 100 levels" in problem(b"[" * 100_000 + b"]" * 100_000, name)


def test_size_is_bounded() -> None:
    assert "1,048,576 bytes that are read" in problem(b"a" * (1024 * 1024 + 1))


def test_several_documents_in_one_file_are_refused() -> None:
    assert "w.yaml:2:1" in problem(b"a: 1\n--- \nb: 1\n")


def test_a_place_is_found_for_a_path_and_for_what_lies_around_it() -> None:
    source = read("w.yaml", b"tasks:\n  - id: a\n    when: x\n  - id: b\n")

    assert source.place("tasks[0].when") == "w.yaml:3:5"
    assert source.place("tasks[1].timeouts.heartbeat") == "w.yaml:4:5"
    assert source.place('labels["team"]') == "w.yaml:1:1"
    assert source.place("") == "w.yaml:1:1"


@given(st.binary(max_size=300), st.sampled_from(["w.yaml", "w.json"]))
def test_no_bytes_whatever_give_a_traceback(data: bytes, name: str) -> None:
    with suppress(CommandError):
        read(name, data)


def test_numbers_of_too_many_digits_are_refused() -> None:
    assert "w.yaml:1:4 this is 999" in problem(b"a: " + b"9" * 5_000)
    assert "w.json:1:2 this is 999" in problem(b'{"a": ' + b"9" * 5_000 + b"}", "w.json")


def test_a_tab_is_called_a_tab() -> None:
    assert "w.yaml:2:1 there is a tab: indent with spaces" in problem(b"a:\n\tb: 1\n")


@pytest.mark.parametrize("number", ["12345678901234567890", "-9007199254740993", "0x20000000000001"])
def test_a_number_that_would_lose_digits_is_named_by_its_place(number: str) -> None:
    assert f"w.yaml:2:4 this is {number}, beyond 2^53" in problem(f"a: 1\nb: {number}\n".encode())


def test_numbers_in_json_that_would_change_are_named_by_their_place() -> None:
    told = problem(b'{"a": 1,\n "b": [3544790567247868102]}', "w.json")

    assert "w.json:2:8 this is 3544790567247868102, beyond 2^53, where whole numbers lose digits" in told
    assert "w.json:1:2 this is 1e999, too large for a number" in problem(b'{"a": 1e999}', "w.json")
    assert "w.json:1:2 this is NaN, which JSON does not have" in problem(b'{"a": NaN}', "w.json")
    assert "w.yaml:1:4 this is 1e999, too large for a number" in problem(b"a: 1e999")


def test_a_double_that_a_struct_keeps_is_read() -> None:
    assert read("w.yaml", b"a: 1.0e+300").value == {"a": 1e300}
