"""validate and diff, as processes against a fake gateway."""

import json
from pathlib import Path

import pytest
from testkit import free_port

from tests.fakes.gateway import FakeGateway
from tests.integration.workflowctl.conftest import Run, write

GOOD = """\
workflow_id: orders
description: first
tasks:
  - id: charge
    type: orders.charge
"""


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(GOOD)
    return path


async def test_a_good_file_is_valid_and_nothing_is_written(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    ran = await ctl("validate", str(orders))

    assert (ran.code, ran.out, ran.err) == (0, f"✔ {orders}  valid, 1 task\n", "")
    assert fake.catalog.workflows == {}


async def test_all_problems_come_at_once_in_the_order_of_the_file(ctl: Run, orders: Path) -> None:
    write(
        orders,
        "workflow_id: orders\ntasks:\n- {id: a, type: odd}\n- {id: b, needs: c, type: x}\n"
        "- {id: c, type: bad}\n- {id: d, typ: x, type: y}\n",
    )

    ran = await ctl("validate", str(orders))

    assert ran.code == 2
    assert ran.out.splitlines() == [
        f"  {orders}:3:11  warning  tasks[0].type: it is odd",
        f"  {orders}:4:11  error    tasks[1].needs: text where a list belongs",
        f"  {orders}:5:11  error    tasks[2].type: no worker ever offered `bad`; did you mean `band`?",
        f"  {orders}:6:11  error    tasks[3].typ: there is no such field; did you mean `type`?",
        f"✘ {orders}  3 errors, 1 warning",
    ]


async def test_what_the_catalog_finds_is_refused_and_warnings_are_not(ctl: Run, orders: Path) -> None:
    write(orders, GOOD.replace("orders.charge", "bad"))
    assert (await ctl("validate", str(orders))).code == 4
    write(orders, GOOD.replace("orders.charge", "odd"))
    ran = await ctl("validate", str(orders))

    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"✔ {orders}  valid, 1 task, 1 warning")


async def test_a_value_that_is_wrong_here_is_not_missed_there(ctl: Run, orders: Path) -> None:
    write(orders, GOOD.replace("orders.charge", "[a]"))
    ran = await ctl("validate", str(orders))

    assert "a list where text belongs" in ran.out
    assert "is required" not in ran.out


async def test_an_id_that_the_contract_refuses_has_its_place_too(ctl: Run, orders: Path) -> None:
    write(orders, GOOD.replace("workflow_id: orders", "workflow_id: Orders"))
    ran = await ctl("validate", str(orders))

    assert ran.code == 4
    assert (
        f"{orders}:1:1  error  workflow_id: `Orders` is not allowed here, did you mean `orders`?" in ran.out
    )


async def test_a_script_gets_every_problem_with_line_and_column(ctl: Run, orders: Path) -> None:
    write(orders, GOOD.replace("orders.charge", "bad"))

    document = json.loads((await ctl("validate", str(orders), "--json")).out)

    assert document["valid"] is False
    assert document["problems"] == [
        {
            "severity": "error",
            "field": "tasks[0].type",
            "description": "no worker ever offered `bad`; did you mean `band`?",
            "suggestion": "band",
            "file": str(orders),
            "line": 5,
            "column": 5,
        }
    ]
    assert document["report"]["content_hash"]


async def test_the_places_of_json_files_are_known_too(ctl: Run, tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    write(path, '{"workflow_id": "orders",\n "tasks": [\n  {"id": "a",\n   "type": "bad"}]}')

    assert f"{path}:4:4  error  tasks[0].type" in (await ctl("validate", str(path))).out


async def test_offline_asks_nobody_and_says_what_was_checked(ctl: Run, orders: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    ran = await ctl("validate", str(orders), "--offline", address=nobody)
    assert ran.code == 0
    assert "valid, 1 task  without the catalog: only fields and their types were checked" in ran.out
    write(orders, GOOD + "owner: 3\n")
    ran = await ctl("validate", str(orders), "--offline", address=nobody)

    assert ran.code == 2
    assert f"{orders}:6:1  error  owner: a number where text belongs" in ran.out


async def test_without_a_gateway_the_offline_check_is_named(
    ctl: Run, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKFLOW_TIMEOUT", "200ms")
    write(orders, GOOD + "owner: 3\n")
    ran = await ctl("validate", str(orders), address=f"127.0.0.1:{free_port()}")

    assert ran.code == 5
    assert "does not answer" in ran.err
    assert f"{orders}:6:1  owner: a number where text belongs" in ran.err
    assert f"workflowctl validate {orders} --offline" in ran.err


async def test_a_file_differs_from_the_active_version(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    assert "no version is active" in (await ctl("diff", str(orders))).out
    await ctl("publish", str(orders))
    assert (await ctl("diff", str(orders))).out == f"orders  version 1 → {orders}  nothing differs\n"
    write(orders, GOOD.replace("first", "second") + "input_schema: {required: [amount]}\n")

    ran = await ctl("diff", str(orders))

    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"orders  version 1 → {orders}  MAJOR, 2 changes: an input that was accepted may no longer be",
        "  ~ description  first → second",
        '  + input_schema  {"required": ["amount"]}',
        "    MAJOR: inputs without `amount`",
    ]
    assert fake.catalog.workflows["orders"].definition.description == "first"


async def test_two_versions_are_compared_and_a_draft_with_the_active_one(ctl: Run, orders: Path) -> None:
    for description in ("first", "second", "third"):
        write(orders, GOOD.replace("first", description))
        await ctl("publish", str(orders))
    ran = await ctl("diff", "orders", "--from", "1", "--to", "2")
    assert ran.out.splitlines() == [
        "orders  version 1 → version 2  PATCH, 1 change: the same work",
        "  ~ description  first → second",
    ]
    write(orders, GOOD)
    await ctl("apply", str(orders))

    document = json.loads((await ctl("diff", "orders", "--json")).out)

    assert (document["base_version"], document["target_version"]) == (3, 0)
    assert document["changes"][0]["after"] == "first"


async def test_a_version_that_is_not_there_is_not_found(ctl: Run, orders: Path) -> None:
    await ctl("publish", str(orders))
    assert (await ctl("diff", "orders", "--from", "7")).code == 3


async def test_versions_of_a_file_are_wrong_usage(ctl: Run, orders: Path) -> None:
    ran = await ctl("diff", str(orders), "--from", "1")
    assert (ran.code, ran.out) == (2, "")


async def test_an_output_that_lacks_characters_has_their_escapes(
    ctl: Run, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write(orders, GOOD + "ownér: é\n")
    ran = await ctl("validate", str(orders), "--offline")
    assert ran.code == 2
    assert "own\\xe9r: there is no such field" in ran.out
    document = json.loads((await ctl("validate", str(orders), "--offline", "--json")).out)

    assert document["problems"][0]["field"] == "ownér"
