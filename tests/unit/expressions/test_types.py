"""What can be known at publish: which keys there are, and whether types fit."""

import pytest
from workflow_expressions import (
    ANY,
    EnumType,
    ExpressionWarning,
    Kind,
    ListType,
    MaybeNull,
    Member,
    ObjectType,
    Presence,
    Scope,
    Types,
    ValueType,
    check_condition,
    check_template,
)
from workflow_expressions.types import BOOL, INT, STRING, of_kind

SCOPE = Scope(tasks=frozenset({"fetch"}), in_fan_out=True)


class Declared(ValueType):
    """An object of which some keys are declared."""

    def __init__(self, presence: Presence, **members: ValueType) -> None:
        super().__init__(Kind.MAP)
        self.members = members
        self.presence = presence

    @property
    def names(self) -> list[str]:
        return list(self.members)

    def member(self, name: str) -> Member:
        known = self.members.get(name)
        return Member(ANY, Presence.UNKNOWN) if known is None else Member(known, self.presence)


FETCHED = MaybeNull(
    ObjectType({"pages": ListType(STRING)}), "it may be skipped", ("tasks", "fetch", "status")
)
STATUS = EnumType(frozenset({"SUCCEEDED", "SKIPPED"}), frozenset({"FAILED"}))
ROOTS = ObjectType(
    {
        "input": ObjectType(
            {
                "amount": INT,
                "name": STRING,
                "paid": BOOL,
                "tags": ListType(STRING),
                "free": ANY,
                "open": Declared(Presence.MAYBE, colour=STRING),
                "odd key": INT,
            },
            "input_schema",
        ),
        "item": INT,
        "index": INT,
        "execution": ANY,
        "tasks": ObjectType({"fetch": ObjectType({"output": FETCHED, "status": STATUS})}),
    }
)
TYPES = Types(ROOTS)


def found(text: str, types: Types = TYPES) -> list[tuple[str, str]]:
    problems = check_template(text, scope=SCOPE, types=types).problems
    return [
        ("warning" if isinstance(each, ExpressionWarning) else "error", each.message) for each in problems
    ]


@pytest.mark.parametrize(
    "text",
    [
        "${input.amount + 1}",
        "${input.name + 'x'}",
        "${input . name + input['name'] + input[\"name\"]}",
        "${input.tags[0] + input.name}",
        "${input.tags.map(t, t + input.name)}",
        "${input.free.anything + 1}",
        "${input.free.anything[3].below == input.amount}",
        "${has(input.open.colour) ? input.open.colour + '!' : ''}",
        "${input.open.?colour.orValue('red')}",
        "${'colour' in input.open ? input.open.colour : ''}",
        "${input.tags.map(input, input + '!')}",
        "${item + index}",
        "${tasks.fetch.status == 'SKIPPED' ? 'none' : tasks.fetch.output.pages[0]}",
        "${tasks.fetch.status in ['SUCCEEDED', 'SKIPPED']}",
        "${input['odd key'] + 1}",
        "${input.paid ? input.amount : 'none'}",
        "${input.paid ? 'none' : input.amount}",
        "${input.paid ? input.name : (input.amount > 3 ? input.amount : input.tags)}",
        "${(input.paid ? input.amount : 'none') == input.name}",
        "${'input.amount + \"' + input.name}",
        "é ${'é😀' + input.name + string(input.amount)}",
    ],
)
def test_an_expression_whose_types_fit_has_no_problem(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${input.amont}", "`input` has no `amont` in `input_schema`: did you mean `amount`?"),
        ("${input.amont + 1}", "`input` has no `amont` in `input_schema`: did you mean `amount`?"),
        ("${has(input.amont)}", "did you mean `amount`?"),
        ("${input.zzz}", "there is `amount`, `free`, `name`, `odd key`"),
        ("${input.name.first}", "`input.name` is a string: only an object has keys"),
        ("${input.name[0]}", "`input.name` is a string: only a list has numbered elements"),
        ("${input[0]}", "`input` is an object: only a list has numbered elements"),
        ("${input.amount + input.name}", "`+` does not take (int, string)"),
        ("${input.amount * 1.5}", "CEL does not mix whole numbers and decimals"),
        ("${input.tags.map(t, t + 1)}", "`+` does not take (string, int)"),
        ("${'a' + string(item + 'x')}", "`+` does not take (int, string)"),
        ("${input.paid ? input.amount + 'x' : 'none'}", "`+` does not take (int, string)"),
        ("${input.amount ? 1 : 2}", "`?:` does not take (int, int, int)"),
        ("${input.amount == 'x'}", "`==` does not take (int, string)"),
        ("${tasks.fetch.status == 'SUCCEDED'}", "never `SUCCEDED`: did you mean `SUCCEEDED`?"),
        ("${'done' == tasks.fetch.status}", "it is one of FAILED, SKIPPED, SUCCEEDED"),
        ("${tasks.fetch.status in ['SKIPED']}", "did you mean `SKIPPED`?"),
    ],
)
def test_what_cannot_work_is_an_error(text: str, message: str) -> None:
    ((kind, said),) = found(text)

    assert kind == "error"
    assert message in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${input.open.colour}", "`input.open.colour` may be absent"),
        ("${input.open.color}", "is not declared: did you mean `colour`?"),
        ("${tasks.fetch.output.pages}", "may be null, and then this fails: it may be skipped"),
        ("${tasks.fetch.status == 'FAILED'}", "never `FAILED` here"),
    ],
)
def test_what_is_probably_a_mistake_is_a_warning(text: str, message: str) -> None:
    ((kind, said),) = found(text)

    assert kind == "warning"
    assert message in said


def test_a_problem_is_told_once_for_each_expression() -> None:
    assert len(found("${input.open.colour + input.open.colour}")) == 1


def test_the_column_of_a_type_error_is_that_of_the_text() -> None:
    text = "input.amount + input . name"
    (problem,) = check_template(f"${{{text}}}", scope=SCOPE, types=TYPES).problems

    assert (problem.line, problem.column) == (1, text.index("+") + 1)
    assert problem.expression == text


def test_a_field_that_a_condition_has_checked_exists_after_the_condition() -> None:
    problems, guarded = check_condition(
        "${tasks.fetch.status == 'SUCCEEDED' && has(input.open.colour)}", scope=SCOPE, types=TYPES
    )
    assert problems == []
    behind = Types(ROOTS, guarded)

    assert found("${tasks.fetch.output.pages[0] + input.open.colour}", behind) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${input.amount}", "must give true or false, and this gives int"),
        ("${input.name}", "must give true or false, and this gives string"),
        ("${1 > 2}", "always false: this never runs"),
        ("${true}", "always true: leave it out"),
        ("${1 / 0 > 1}", "division by zero"),
        ("${input.paid && input.amount}", "`&&` does not take (bool, int)"),
    ],
)
def test_a_condition_that_is_none_is_found(text: str, message: str) -> None:
    (problem,), _ = check_condition(text, scope=SCOPE, types=TYPES)
    assert message in problem.message


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("${input.amount}", Kind.INT),
        ("${input.amount + 1}", Kind.INT),
        ("${input.tags}", Kind.LIST),
        ("${input.tags.map(t, size(t))}", Kind.LIST),
        ("${input.amount > 3}", Kind.BOOL),
        ("n: ${input.amount}", Kind.STRING),
        ("${input.free}", Kind.ANY),
        ("plain", Kind.STRING),
        (None, Kind.NULL),
        (1.5, Kind.DOUBLE),
    ],
)
def test_the_type_of_a_value_is_known(template: object, kind: Kind) -> None:
    checked = check_template(template, scope=SCOPE, types=TYPES)  # type: ignore[arg-type]
    assert checked.type.kind is kind


def test_the_type_of_an_object_has_its_keys() -> None:
    checked = check_template({"a": "${input.amount}", "b": ["${input.name}"]}, scope=SCOPE, types=TYPES)

    assert checked.type.member("a").type.kind is Kind.INT
    assert checked.type.member("b").type.item.kind is Kind.STRING
    assert checked.type.member("c").presence is Presence.NEVER


def test_elements_of_a_computed_list_have_a_type() -> None:
    checked = check_template("${input.tags.map(t, size(t))}", scope=SCOPE, types=TYPES)
    assert checked.type.item.kind is Kind.INT


NUMBER = of_kind(Kind.NUMBER)
NUMBERS = Types(
    ObjectType(
        {
            "input": ObjectType({"price": NUMBER, "prices": ListType(NUMBER), "n": INT, "name": STRING}),
            "item": NUMBER,
        }
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "${input.price}",
        "${input.price + input.price}",
        "${double(input.price) * 1.5}",
        "${input.price > 3 && input.price < 3.5 && input.n >= 0.5 && input.price == input.n}",
        "${-input.price}",
        "${input.prices.map(p, double(p) * 1.5)}",
        "${string(input.price)}",
        "${input.price > 3 ? input.price : 0}",
        "${input.price > 3 ? 0.5 : input.price}",
    ],
)
def test_a_number_may_be_whole_or_not(text: str) -> None:
    assert found(text, NUMBERS) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("${input.price * 1.5}", "input.price"),
        ("${input.price + 1}", "input.price"),
        ("${input.price + input.n}", "input.price"),
        ("${input.prices.map(p, p * 1.5)}", "input.prices"),
        ("${item % 2}", "item"),
    ],
)
def test_what_fails_for_whole_numbers_or_for_others_is_a_warning(text: str, name: str) -> None:
    ((kind, said),) = found(text, NUMBERS)

    assert kind == "warning"
    assert f"`{name}` may be a whole number or a decimal" in said


@pytest.mark.parametrize(
    "text",
    ["${input.price + 'x'}", "${input.price == 'x'}", "${input.name < input.n}", "${size(input.price)}"],
)
def test_what_fails_for_every_number_is_an_error(text: str) -> None:
    ((kind, said),) = found(text, NUMBERS)

    assert kind == "error"
    assert "does not take" in said


def test_the_kind_of_a_computed_number_is_known_as_far_as_it_is() -> None:
    kinds = [
        check_template(text, scope=SCOPE, types=NUMBERS).type.kind
        for text in ("${input.price + input.price}", "${double(input.price)}", "${input.price > 3}")
    ]
    assert kinds == [Kind.NUMBER, Kind.DOUBLE, Kind.BOOL]
