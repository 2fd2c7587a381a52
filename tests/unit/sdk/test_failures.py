from workflow_sdk import NonRetryableError, TaskFailure
from workflow_sdk.failures import LONGEST_TEXT_BYTES, FailureInfo, cut


class OutOfPaperError(Exception):
    pass


class JammedError(NonRetryableError):
    pass


def raised(error: BaseException) -> FailureInfo:
    try:
        raise error
    except BaseException as caught:
        return FailureInfo.of(caught)


def test_the_type_of_a_failure_is_the_class_of_the_exception() -> None:
    info = raised(OutOfPaperError("tray 2"))
    assert (info.type, info.message, info.non_retryable) == ("OutOfPaperError", "tray 2", False)
    assert "OutOfPaperError: tray 2" in info.details
    assert "in raised" in info.details


def test_a_handler_may_choose_the_type_and_whether_a_retry_helps() -> None:
    chosen = raised(TaskFailure("m", type="Chosen", non_retryable=True))
    assert (chosen.type, chosen.non_retryable) == ("Chosen", True)
    assert raised(JammedError("m")).type == "JammedError"
    assert raised(JammedError("m")).non_retryable
    assert raised(NonRetryableError("m", type="Other")).type == "Other"


def test_long_texts_are_cut_to_the_limit_and_a_trace_keeps_its_end() -> None:
    info = raised(OutOfPaperError("é" * 40_000))
    assert len(info.message.encode()) <= LONGEST_TEXT_BYTES
    assert len(info.details.encode()) <= LONGEST_TEXT_BYTES
    assert info.message.startswith("éé")
    assert info.message.endswith("…")
    assert info.details.endswith("éé\n")


def test_what_can_not_be_stored_is_replaced() -> None:
    info = raised(OutOfPaperError("a\x00b\ud800c"))
    assert info.message == "a␀b?c"
    info.details.encode()


def test_a_text_within_the_limit_stays() -> None:
    assert cut("x" * LONGEST_TEXT_BYTES) == "x" * LONGEST_TEXT_BYTES
