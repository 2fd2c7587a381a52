"""What is kept in memory has an end, in entries and in bytes."""

from service_kit.tools.bounded_cache import BoundedCache


def cache(max_entries: int = 100, max_bytes: int = 100) -> BoundedCache[str, int]:
    return BoundedCache(max_entries=max_entries, max_bytes=max_bytes)


def kept(filled: BoundedCache[str, int]) -> str:
    return "".join(key for key in "abcdefgh" if key in filled)


def test_of_too_many_entries_the_one_that_was_not_used_for_longest_leaves() -> None:
    small = cache(max_entries=3)
    for number, key in enumerate("abc"):
        small.put(key, number, 1)
    assert small.get("a") == 0
    small.put("d", 3, 1)

    assert kept(small) == "acd"
    assert small.get("b") is None
    assert small.get("b", 7) == 7


def test_of_too_many_bytes_as_many_leave_as_must() -> None:
    small = cache()
    for key in "abcd":
        small.put(key, 1, 25)
    small.put("e", 1, 51)

    assert (kept(small), small.size_bytes) == ("de", 76)


def test_a_value_over_the_limit_is_not_kept_and_puts_nothing_out() -> None:
    small = cache()
    small.put("a", 1, 60)
    small.put("b", 1, 101)

    assert (kept(small), small.size_bytes) == ("a", 60)


def test_a_value_in_place_of_another_counts_once() -> None:
    small = cache()
    small.put("a", 1, 60)
    small.put("a", 2, 70)
    assert (small.get("a"), small.size_bytes, len(small)) == (2, 70, 1)
    small.put("a", 3, 1000)

    assert (small.get("a"), small.size_bytes, len(small)) == (None, 0, 0)


def test_a_peek_is_no_use() -> None:
    small = cache(max_entries=2)
    small.put("a", 1, 1)
    small.put("b", 2, 1)
    assert small.peek("a") == 1
    assert "a" in small
    small.put("c", 3, 1)

    assert (kept(small), small.peek("a")) == ("bc", None)
