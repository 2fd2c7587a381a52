"""A pattern of the contracts is explained in words, with the value that was probably meant."""

import re

import pytest
from service_kit.errors import ServiceError
from service_kit.rpc.request_check import check
from service_kit.tools.pattern_words import in_words
from workflowsystem.catalog.v1 import definition_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as execution

from tests.architecture.test_style import ROOT

WORKFLOW = "^[a-z][a-z0-9-]{2,62}$"
TASK = "^[a-z][a-z0-9_]{0,62}$"
TYPE = "^[a-z][a-z0-9_-]*([.][a-z][a-z0-9_-]*)*$"


def patterns() -> list[str]:
    """All patterns of the contracts."""
    found = set()
    for file in (ROOT / "protos").rglob("*.proto"):
        found |= set(re.findall(r'pattern(?::| =) "([^"]+)"', file.read_text()))
    return sorted(found)


@pytest.mark.parametrize("pattern", patterns())
def test_every_pattern_of_the_contracts_has_words(pattern: str) -> None:
    assert pattern not in in_words(pattern, "%")


@pytest.mark.parametrize(
    ("pattern", "value", "meant"),
    [
        (WORKFLOW, "shop_order", "shop-order"),
        (WORKFLOW, "Shop Order", "shop-order"),
        (TASK, "charge-card", "charge_card"),
        (TASK, "ChargeCard", "chargecard"),
        (TYPE, "Orders.Charge Card", "orders.charge-card"),
    ],
)
def test_the_value_that_was_probably_meant_is_offered(pattern: str, value: str, meant: str) -> None:
    assert in_words(pattern, value).startswith(f"`{value}` is not allowed here, did you mean `{meant}`? Use ")


def test_a_dot_that_joins_words_does_not_become_a_dash() -> None:
    assert "did you mean" not in in_words(TYPE, "wait.")


@pytest.mark.parametrize("value", ["a", "", "9lives", "x" * 5_000])
def test_no_suggestion_is_made_that_would_be_refused_too(value: str) -> None:
    words = in_words(WORKFLOW, value)

    assert "did you mean" not in words
    assert "3 to 63 lower-case letters, digits and `-`" in words
    assert len(words) < 200


def test_an_unknown_pattern_is_shown() -> None:
    assert in_words("^x$", "y") == "`y` is not allowed here. It must match `^x$`"


def test_a_request_with_a_wrong_id_is_refused_in_these_words() -> None:
    with pytest.raises(ServiceError, match="did you mean `shop-order`"):
        check(execution.StartExecutionRequest(workflow_id="shop_order"))
    with pytest.raises(ServiceError, match=r"tasks\[0\].id: `a-b` is not allowed here, did you mean `a_b`"):
        check(definition_pb2.WorkflowDefinition(tasks=[{"id": "a-b", "type": "noop"}]))
