from typing import Any

import pytest
from workflow_sdk import NonRetryableError, TaskFailure
from workflow_sdk.failures import MAX_TEXT_BYTES, FailureInfo, cut


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

    assert len(info.message.encode()) <= MAX_TEXT_BYTES
    assert len(info.details.encode()) <= MAX_TEXT_BYTES
    assert info.message.startswith("éé")
    assert info.message.endswith("…")
    assert info.details.endswith("éé\n")


def test_what_can_not_be_stored_is_replaced() -> None:
    info = raised(OutOfPaperError("a\x00b\ud800c"))
    assert info.message == "a␀b?c"
    info.details.encode()


def test_a_text_within_the_limit_stays() -> None:
    assert cut("x" * MAX_TEXT_BYTES) == "x" * MAX_TEXT_BYTES


class DeclinedError(NonRetryableError):
    def __init__(self, code: int) -> None:  # without super().__init__()
        self.code = code


class FinalError(TaskFailure):
    type = "Final"
    non_retryable = True

    def __init__(self) -> None:
        pass


def test_a_failure_whose_init_calls_no_other_keeps_its_type_and_its_retry_choice() -> None:
    declined = raised(DeclinedError(402))

    assert (declined.type, declined.message, declined.non_retryable) == ("DeclinedError", "402", True)
    assert (raised(FinalError()).type, raised(FinalError()).non_retryable) == ("Final", True)


class Raising:
    """Raises where the class below has a member of it."""

    def __get__(self, *_: object) -> Any:
        raise SystemExit("asked")


def unanswering(name: str) -> type[Exception]:
    return type("Unanswering", (JammedError,), {name: Raising()})


MEMBERS = [
    "__str__",
    "__repr__",
    "__reduce__",
    "__class__",
    "__dict__",
    "__traceback__",
    "__cause__",
    "__context__",
    "__notes__",
    "__suppress_context__",
    "__getattribute__",
    "args",
    "with_traceback",
]


@pytest.mark.parametrize("name", MEMBERS)
def test_an_exception_that_raises_when_it_is_looked_at_keeps_type_and_retry_choice(name: str) -> None:
    info = FailureInfo.of(unanswering(name)("text"))

    assert (info.type, info.non_retryable) == ("Unanswering", True)
    assert info.message


@pytest.mark.parametrize("name", ["type", "non_retryable"])
def test_a_choice_that_can_not_be_read_is_that_of_the_class(name: str) -> None:
    error = JammedError.__new__(unanswering(name), "text")
    info = FailureInfo.of(error)

    assert (info.type, info.non_retryable, info.message) == ("Unanswering", True, "text")


class OddText(str):
    def replace(self, *_: object) -> Any:
        return 42

    def encode(self, *_: object, **__: object) -> Any:
        return 42


class OddError(Exception):
    def __init__(self, text: Any) -> None:
        self._text = text

    def __str__(self) -> Any:
        return self._text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OddText("odd"), "odd"),
        (None, "the exception has no text: its __str__ raised TypeError. Its arguments: (None,)"),
    ],
    ids=["a str of another class", "no str"],
)
def test_whatever_the_text_of_an_exception_is_there_is_a_message(text: Any, message: str) -> None:
    assert raised(OddError(text)).message == message


def test_a_type_that_is_no_text_becomes_one() -> None:
    assert raised(TaskFailure("m", type=404)).type == "404"  # type: ignore[arg-type]


class UnnamedMeta(type):
    __name__ = Raising()  # type: ignore[assignment]


class UnnamedError(Exception, metaclass=UnnamedMeta):
    pass


def test_a_class_that_hides_its_name_is_named() -> None:
    assert FailureInfo.of(UnnamedError("m")).type == "UnnamedError"


def test_an_exception_that_refers_to_itself_is_described() -> None:
    error = OutOfPaperError("round")
    error.__cause__ = error.__context__ = error

    assert raised(error).message == "round"
