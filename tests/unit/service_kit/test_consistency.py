"""A consistency token names a position in the log of one database server; its text has an order."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit.data.consistency import (
    STRONG,
    LogPosition,
    Progress,
    ReadConsistency,
    at_least,
    decode,
    encode,
    parse_lsn,
)
from service_kit.errors import ServiceError

HERE = LogPosition(system=7_713_109_616_416_685_443, timeline=2, lsn=0x16_B374_D848)
positions = st.builds(
    LogPosition,
    system=st.integers(0, 2**64 - 1),
    timeline=st.integers(1, 2**32 - 1),
    lsn=st.integers(0, 2**64 - 1),
)


def with_checksum(text: str) -> str:
    return text + f"{zlib.crc32(text.encode()):08x}"


@given(positions)
def test_a_token_gives_its_position_back_and_fits_the_contract(position: LogPosition) -> None:
    token = encode(position)

    assert decode(token) == position
    assert at_least(token) == ReadConsistency(position=position)
    assert len(token) == 49


@given(positions, positions)
def test_of_two_tokens_of_a_server_the_greater_text_is_the_newer_one(
    first: LogPosition, other: LogPosition
) -> None:
    second = LogPosition(first.system, other.timeline, other.lsn)
    is_newer = (second.timeline, second.lsn) > (first.timeline, first.lsn)

    assert (encode(second) > encode(first)) is is_newer


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "0/16B3740",  # of a release before tokens named their server
        encode(HERE)[:-1],
        encode(HERE).upper(),
        encode(HERE).replace("2", "3", 1),
        with_checksum("1"),
        with_checksum("0" + "0" * 40),
        with_checksum(encode(HERE)),
        encode(HERE) + "é",
        "\ud800",
    ],
)
def test_a_text_that_is_not_a_token_is_refused_naming_the_field(token: str) -> None:
    with pytest.raises(ServiceError) as refused:
        at_least(token)
    assert refused.value.reason == "FIELD_INVALID"
    assert "leave it out" in refused.value.message
    (violation,) = refused.value.violations

    assert (violation.field, violation.reason) == ("read_consistency.consistency_token", "FIELD_INVALID")


def test_a_token_of_a_newer_release_is_read_from_the_primary() -> None:
    """During an update, replicas of both releases serve the same callers."""
    assert at_least(with_checksum("2 whatever the next format is")) == STRONG


@pytest.mark.parametrize(
    ("server", "progress"),
    [
        (HERE, Progress.REACHED),
        (LogPosition(HERE.system, 2, HERE.lsn + 1), Progress.REACHED),
        (LogPosition(HERE.system, 2, HERE.lsn - 1), Progress.BEHIND),
        (LogPosition(HERE.system, 3, HERE.lsn), Progress.REACHED),  # after a failover
        (LogPosition(HERE.system, 3, HERE.lsn - 1), Progress.BEHIND),
        (LogPosition(HERE.system, 1, HERE.lsn + 1), Progress.ELSEWHERE),  # a branch that was given up
        (LogPosition(HERE.system + 1, 2, HERE.lsn), Progress.ELSEWHERE),
    ],
)
def test_a_server_has_reached_a_position_only_of_its_own_log(server: LogPosition, progress: Progress) -> None:
    assert server.progress_to(HERE) is progress


@pytest.mark.parametrize(("text", "lsn"), [("0/0", 0), ("0/1A", 26), ("16/B374D848", 0x16B374D848)])
def test_a_log_sequence_number_is_read(text: str, lsn: int) -> None:
    assert parse_lsn(text) == lsn


@pytest.mark.parametrize("text", ["", "0", "0/", "0/0/0", "x/1", "0/123456789", "0/1 ", "0/1\n"])
def test_a_damaged_log_sequence_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a log sequence number"):
        parse_lsn(text)
