"""A page token leads back to exactly the key it was made of, and anything else is refused."""

from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit.errors import ServiceError
from service_kit.rpc.paging import decode, encode, filter_hash, fitting, page_size

values = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=12)


@given(st.lists(values, max_size=4))
def test_a_token_gives_back_its_key(key: list[Any]) -> None:
    assert decode(encode(key, filter_hash="f"), filter_hash="f") == key


def test_no_token_is_the_first_page() -> None:
    assert decode("", filter_hash="f") is None


@given(st.text(max_size=60))
def test_garbage_is_refused(token: str) -> None:
    if token:
        with pytest.raises(ServiceError) as refused:
            decode(token, filter_hash="f")
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.reason == "PAGE_TOKEN_INVALID"


@given(st.data())
def test_a_token_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    token = encode(["orders", 7], filter_hash="f")
    position = data.draw(st.integers(0, len(token) - 2))  # the last one may hold unused bits
    character = data.draw(st.sampled_from("abcXYZ019-_").filter(lambda letter: letter != token[position]))

    with pytest.raises(ServiceError, match="damaged"):
        decode(token[:position] + character + token[position + 1 :], filter_hash="f")


def test_a_token_of_other_filters_is_refused() -> None:
    token = encode(["orders"], filter_hash=filter_hash("ListWorkflows", "default", "ACTIVE"))
    with pytest.raises(ServiceError, match="other filters"):
        decode(token, filter_hash=filter_hash("ListWorkflows", "default", "DRAFT"))


def test_filters_that_read_alike_when_joined_have_different_hashes() -> None:
    assert filter_hash("a", "b") != filter_hash("ab", "")


@pytest.mark.parametrize(
    ("requested", "used"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_size_is_coerced_into_its_limits(requested: int, used: int) -> None:
    assert page_size(requested) == used


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(ServiceError, match="page_size"):
        page_size(-1)


class Sized:
    """An item of so many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        return self.size


@pytest.mark.parametrize(
    ("sizes", "fit"), [([], 0), ([5], 1), ([4, 4], 2), ([4, 4, 3], 2), ([4, 8, 1], 1), ([50, 1], 1)]
)
def test_a_page_ends_before_the_item_that_is_too_much_and_has_at_least_one(
    sizes: list[int], fit: int
) -> None:
    items = [Sized(size) for size in sizes]
    assert fitting(items, 10) == items[:fit]
