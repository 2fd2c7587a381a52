import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workflow_sdk import task
from workflow_sdk.task import TaskDefinitionError, TaskRegistry, definition_of


@task("plain")
def plain(input: Any) -> str:
    return f"plain {input}"


@task("with.context")
async def with_context(input: Any, context: Any) -> str:
    return f"{input} {context}"


def test_a_handler_stays_the_function_it_was() -> None:
    assert plain(1) == "plain 1"


async def test_handlers_get_the_context_only_where_they_take_it() -> None:
    assert definition_of(plain).call(1, "context") == "plain 1"
    assert await definition_of(with_context).call(1, "context") == "1 context"


def test_async_and_plain_handlers_are_told_apart() -> None:
    assert not definition_of(plain).is_async
    assert definition_of(with_context).is_async


@pytest.mark.parametrize("name", ["", "Orders.charge", "orders charge", ".x", "x.", "a" * 129, None])
def test_a_name_that_no_definition_could_use_is_refused(name: Any) -> None:
    with pytest.raises(TaskDefinitionError, match="no task type"):
        task(name)


def test_a_handler_with_other_parameters_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match=r"\(input\) or \(input, context\)"):

        @task("none")
        def none() -> None: ...

    with pytest.raises(TaskDefinitionError, match=r"\(input\) or \(input, context\)"):

        @task("three")
        def three(a: Any, b: Any, c: Any) -> None: ...


def test_the_registry_knows_its_types() -> None:
    registry = TaskRegistry([with_context, plain])
    assert registry.types == ["plain", "with.context"]
    assert registry.get("plain") is definition_of(plain)
    assert registry.get("other") is None


def test_two_handlers_of_one_type_are_refused_and_both_named() -> None:
    @task("plain")
    async def other(input: Any) -> None: ...

    with pytest.raises(TaskDefinitionError, match=r"test_task\.plain and .*other"):
        TaskRegistry([plain, other])


def test_the_same_handler_twice_is_one() -> None:
    assert len(TaskRegistry([plain, plain])) == 1


def test_a_plain_function_inside_a_function_can_not_be_reached_by_a_child() -> None:
    @task("inner")
    def inner(input: Any) -> None: ...

    with pytest.raises(TaskDefinitionError, match="make it async"):
        TaskRegistry([inner])


def test_a_function_without_the_decorator_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match="decorate it"):
        TaskRegistry([print])


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_every_handler_of_a_module_is_taken(modules: Path) -> None:
    (modules / "some_handlers.py").write_text(
        "from workflow_sdk import task\n@task('a')\ndef a(i): ...\n@task('b')\nasync def b(i): ...\n"
    )
    assert TaskRegistry(modules=["some_handlers"]).types == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "has no handlers"),
        ("import not_installed_anywhere\n", "needs not_installed_anywhere"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("def f(:\n", "SyntaxError"),
    ],
)
def test_a_module_that_can_not_be_used_says_why(modules: Path, source: str, message: str) -> None:
    (modules / "bad_handlers.py").write_text(source)
    with pytest.raises(TaskDefinitionError, match=message):
        TaskRegistry(modules=["bad_handlers"])


def test_a_module_that_is_not_there_says_where_it_was_looked_for() -> None:
    with pytest.raises(TaskDefinitionError, match=r"no module no\.such\.module"):
        TaskRegistry(modules=["no.such.module"])
