"""Numbers that JSON does not have."""

import pytest
from workflow_expressions import EvaluationError, Scope, compile_template


def test_an_infinite_number_has_no_place_in_a_text() -> None:
    template = compile_template({"text": "it is ${input.x}"}, scope=Scope())

    with pytest.raises(EvaluationError, match="not JSON") as caught:
        template.evaluate({"input": {"x": float("inf")}})
    assert caught.value.path == ("text",)
