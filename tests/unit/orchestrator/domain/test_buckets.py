"""An execution's bucket is in its id, and a repeated start finds the same bucket."""

from collections import Counter
from uuid import UUID

from execution_orchestrator.domain.buckets import BUCKETS, bucket_of, bucket_of_request
from hypothesis import given
from hypothesis import strategies as st
from service_kit.tools.ids import BUCKET_BITS, new_uuid7

names = st.text(min_size=1, max_size=20)


@given(names, names)
def test_the_id_of_a_start_has_the_bucket_of_its_request_id(namespace: str, request: str) -> None:
    bucket = bucket_of_request(namespace, request)

    assert bucket_of(new_uuid7(bucket)) == bucket


def test_the_bucket_of_a_request_never_changes() -> None:
    """Other processes, and later releases, must find what this one stored."""
    assert bucket_of_request("default", "order-1") == 478
    assert bucket_of_request("default", "order-2") == 84
    assert bucket_of_request("team-a", "order-1") == 364


def test_the_bucket_of_an_id_is_its_last_ten_bits() -> None:
    assert 2**BUCKET_BITS == BUCKETS
    assert bucket_of(UUID("01890000-0000-7000-8000-0000000003ff")) == 1023
    assert bucket_of(UUID("01890000-0000-7000-8000-000000000400")) == 0


def test_a_namespace_and_a_request_id_are_not_run_together() -> None:
    assert bucket_of_request("a", "bc") != bucket_of_request("ab", "c")


def test_requests_are_spread_over_the_buckets() -> None:
    """With 20,000 requests a bucket has about 20."""
    spread = Counter(bucket_of_request("default", f"order-{number}") for number in range(20_000))

    assert len(spread) > 1_000
    assert max(spread.values()) < 80
