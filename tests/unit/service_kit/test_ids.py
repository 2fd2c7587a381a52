"""UUIDv7s say when they were made, and grow strictly within a process."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit.tools.ids import BUCKET_BITS, RANDOM_BITS, SERIAL_BITS, Uuid7Generator, new_uuid7, uuid7


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**RANDOM_BITS - 1))
def test_an_id_holds_its_time_its_version_its_variant_and_all_its_randomness(
    now_ms: int, randomness: int
) -> None:
    made = uuid7(now_ms, randomness)

    assert made.int >> 80 == now_ms
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert ((made.int >> 64) & 0xFFF) << 62 | made.int & (1 << 62) - 1 == randomness


@given(st.lists(st.integers(0, 50), min_size=2, max_size=50))
def test_ids_grow_strictly_also_when_the_clock_stands_or_steps_back(times: list[int]) -> None:
    generator = Uuid7Generator()
    made = [generator.next(now_ms) for now_ms in times]

    assert made == sorted(set(made))


def test_ids_go_on_growing_when_the_randomness_of_a_millisecond_is_used_up() -> None:
    generator = Uuid7Generator()
    first = generator.next(1000)
    generator._last_serial = 2**SERIAL_BITS - 1
    second, third = generator.next(1000), generator.next(1000)

    assert first < second < third
    assert second.int >> 80 == 1001


def test_two_generators_do_not_make_the_same_ids() -> None:
    assert Uuid7Generator().next(1000) != Uuid7Generator().next(1000)
    assert new_uuid7() < new_uuid7()


@pytest.mark.parametrize(("now_ms", "randomness"), [(-1, 0), (2**48, 0), (0, -1), (0, 2**RANDOM_BITS)])
def test_a_time_or_a_random_part_that_does_not_fit_is_refused(now_ms: int, randomness: int) -> None:
    with pytest.raises(ValueError):
        uuid7(now_ms, randomness)


buckets = st.none() | st.integers(0, 2**BUCKET_BITS - 1)


@given(st.lists(st.tuples(st.integers(0, 5), buckets), min_size=2, max_size=50))
def test_ids_have_the_bucket_that_was_asked_for_and_grow_all_the_same(
    wanted: list[tuple[int, int | None]],
) -> None:
    generator = Uuid7Generator()

    made = [generator.next(now_ms, bucket) for now_ms, bucket in wanted]

    assert made == sorted(set(made))
    low_bits = [each.int & (2**BUCKET_BITS - 1) for each in made]
    assert all(bucket in (None, low) for (_, bucket), low in zip(wanted, low_bits, strict=True))


def test_ids_without_a_wish_are_spread_over_the_buckets() -> None:
    """A bucket has about 20 of 20,000 ids. No bucket has 80, and at most a few have none."""
    made = Counter(new_uuid7().int & (2**BUCKET_BITS - 1) for _ in range(20_000))

    assert len(made) > 1_000
    assert max(made.values()) < 80


@pytest.mark.parametrize("bucket", [-1, 2**BUCKET_BITS])
def test_a_bucket_that_does_not_fit_is_refused(bucket: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 1023"):
        new_uuid7(bucket)
