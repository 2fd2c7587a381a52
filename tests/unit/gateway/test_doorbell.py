"""What the doorbell's messages say."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from workflow_gateway.watch.doorbell import rings
from workflow_gateway.watch.messages import ExecutionKey

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_every_line_is_an_execution_with_news() -> None:
    data = f"default {ID} 7 RUNNING\nbilling {ID} 9 CANCELLED stop later words".encode()
    assert list(rings(data)) == [(ExecutionKey("default", ID), 7), (ExecutionKey("billing", ID), 9)]


def test_lines_of_another_form_do_not_hide_the_others() -> None:
    data = f"\nhello\n\xff\ndefault {ID} many RUNNING\ndefault x 1 RUNNING\ndefault {ID} 7 RUNNING".encode(
        "latin1"
    )
    assert list(rings(data)) == [(ExecutionKey("default", ID), 7)]


@given(st.binary(max_size=200))
def test_no_message_whatever_raises(data: bytes) -> None:
    list(rings(data))
