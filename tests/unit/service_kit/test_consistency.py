"""Consistency tokens are positions in the write-ahead log."""

import pytest
from service_kit.consistency import at_least, parse_lsn
from service_kit.errors import ServiceError


@pytest.mark.parametrize(("text", "lsn"), [("0/0", 0), ("0/1A", 26), ("16/B374D848", 0x16B374D848)])
def test_a_log_sequence_number_is_read(text: str, lsn: int) -> None:
    assert parse_lsn(text) == lsn
    assert at_least(text).lsn == lsn


@pytest.mark.parametrize("token", ["", "0", "0/", "0/0/0", "x/1", "0/123456789", "0/1 ", "0/1\n"])
def test_a_damaged_token_is_refused_naming_the_field(token: str) -> None:
    with pytest.raises(ServiceError) as refused:
        at_least(token)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.violations[0].field == "read_consistency.consistency_token"
