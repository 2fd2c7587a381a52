"""Resume tokens: what went in comes out, and nothing else is taken for one."""

from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from workflow_gateway.watch.tokens import MAX_SEQUENCE, InvalidTokenError, ResumeToken, decode, encode

tokens = st.builds(ResumeToken, st.uuids(), st.integers(0, MAX_SEQUENCE))


@given(tokens)
def test_a_token_comes_back_as_it_was(token: ResumeToken) -> None:
    text = encode(token)

    assert decode(text) == token
    assert len(text) == 39


@given(tokens, st.integers(0, 38), st.characters())
def test_one_changed_character_is_noticed(token: ResumeToken, place: int, character: str) -> None:
    text = encode(token)
    damaged = text[:place] + character + text[place + 1 :]
    assume(damaged != text)

    with pytest.raises(InvalidTokenError):
        decode(damaged)


@given(st.text(max_size=64))
def test_other_text_is_no_token(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        decode(text)


@given(tokens, st.integers(0, 38))
def test_a_shortened_token_is_noticed(token: ResumeToken, length: int) -> None:
    with pytest.raises(InvalidTokenError):
        decode(encode(token)[:length])


def test_the_form_is_kept_for_tokens_that_are_out_there() -> None:
    """Golden: a rolling update has old and new replicas read each other's tokens."""
    token = ResumeToken(UUID("01890a5d-ac96-774b-bcce-b302099a8057"), 42)
    assert encode(token) == "AQGJCl2slndLvM6zAgmagFcAAAAAAAAAKnEK2D4"
