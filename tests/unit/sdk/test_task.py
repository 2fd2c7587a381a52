import functools
import importlib
import sys
import types
import unittest.mock
from collections.abc import Callable, Iterator
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


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return f"logged {function(*args)}"

    return inner


@logged
@task("decorated")
def decorated(input: Any) -> str:
    return f"decorated {input}"


class Shop:
    @task("shop.sell")
    async def sell(self, input: Any) -> str:
        return f"{self.__class__.__name__} sells {input}"

    @task("shop.print")
    def print(self, input: Any) -> None: ...


def test_a_decorator_above_task_is_part_of_the_handler() -> None:
    registry = TaskRegistry([decorated])
    definition = registry.get("decorated")

    assert definition is not None
    assert definition.call(1, "context") == "logged decorated 1"
    assert not definition.is_async
    assert len(TaskRegistry([decorated, decorated])) == 1


async def test_a_plain_decorator_above_an_async_handler_leaves_it_async() -> None:
    def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any) -> Any:
            return function(*args)

        return inner

    definition = definition_of(plainly(with_context))
    assert definition.is_async
    assert await definition.call(1, "context") == "1 context"


async def test_an_async_method_of_an_object_is_a_handler_and_twice_the_same() -> None:
    shop = Shop()
    definition = TaskRegistry([shop.sell, shop.sell]).get("shop.sell")

    assert definition is not None
    assert await definition.call("tea", "context") == "Shop sells tea"


def test_methods_of_two_objects_are_two_handlers() -> None:
    with pytest.raises(TaskDefinitionError, match="two handlers"):
        TaskRegistry([Shop().sell, Shop().sell])


def test_a_plain_method_of_an_object_can_not_be_reached_by_a_child() -> None:
    with pytest.raises(TaskDefinitionError, match=r"would look for it as .*Shop\.print"):
        TaskRegistry([Shop().print])


def test_a_decorator_and_what_it_decorates_are_two_handlers_with_advice() -> None:
    async_one = definition_of(with_context).function
    with pytest.raises(TaskDefinitionError, match="one decorates the other"):
        TaskRegistry([async_one, logged(async_one)])


def test_a_plain_handler_that_its_module_has_under_another_name_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match="find something else"):
        TaskRegistry([logged(plain)])
    with pytest.raises(TaskDefinitionError, match="find something else"):
        TaskRegistry([task("partial")(functools.partial(print, 1))])


def test_a_function_is_the_handler_of_one_type() -> None:
    with pytest.raises(TaskDefinitionError, match="'plain' already"):
        task("second")(plain)


def test_what_can_not_be_marked_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match="can't be marked"):
        task("builtin")(len)


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


def test_names_that_a_module_imports_from_another_are_the_same_handlers(modules: Path) -> None:
    (modules / "first_handlers.py").write_text("from workflow_sdk import task\n@task('a')\ndef a(i): ...\n")
    (modules / "second_handlers.py").write_text(
        "from first_handlers import a\nfrom first_handlers import a as b\n"
    )

    assert len(TaskRegistry(modules=["first_handlers", "second_handlers"])) == 1


def test_a_script_that_is_its_own_module_of_handlers_has_each_of_them_once(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from workflow_sdk import task\n@task('a')\ndef a(i): ...\n"
    (modules / "script_handlers.py").write_text(source)
    main = types.ModuleType("__main__")
    exec(compile(source, str(modules / "script_handlers.py"), "exec"), main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)

    for functions, names in (([main.a], ["script_handlers"]), ([], ["__main__", "script_handlers"])):
        definition = TaskRegistry(functions, names).get("a")
        assert definition is not None
        assert definition.module == "script_handlers"


def test_objects_of_a_module_that_answer_every_question_are_no_handlers(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "odd_handlers.py").write_text("from workflow_sdk import task\n@task('a')\ndef a(i): ...\n")
    odd = importlib.import_module("odd_handlers")
    monkeypatch.setattr(odd, "mock", unittest.mock.MagicMock(), raising=False)
    monkeypatch.setattr(odd, "unbound", Unbound(), raising=False)

    assert TaskRegistry(modules=["odd_handlers"]).types == ["a"]


class Unbound:
    """Like a proxy for an object that is not there."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of a context")


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
