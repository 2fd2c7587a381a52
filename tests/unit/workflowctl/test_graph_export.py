"""Graphs for Mermaid and Graphviz."""

import re

from workflowctl.presentation.graph_export import dot, mermaid
from workflowctl.presentation.graph_tasks import GraphTask

TASKS = [
    GraphTask("list", "shop.list"),
    GraphTask("charge", "shop.charge", needs=("list",), when='${input.say == "[now]"}'),
    GraphTask("ship", "shop.ship", needs=("list", "charge"), fan_out="×N", items="${tasks.list.output}"),
]


def test_mermaid_has_a_shape_for_each_kind_and_an_edge_for_each_need() -> None:
    assert mermaid("it's orders", TASKS) == (
        "---\n"
        "title: 'it''s orders'\n"
        "---\n"
        "flowchart TD\n"
        '    n0["list<br/>shop.list"]\n'
        '    n1{{"charge<br/>shop.charge<br/>when '
        '#36;#123;input.say #61;#61; #34;#91;now#93;#34;#125;"}}\n'
        '    n2[["ship<br/>shop.ship<br/>×N #36;#123;tasks.list.output#125;"]]\n'
        "    n0 --> n1\n"
        "    n0 --> n2\n"
        "    n1 --> n2\n"
    )


def test_dot_has_the_same_with_quotes_and_backslashes_escaped() -> None:
    assert dot("orders", [GraphTask("a", 'x\\n"]; evil'), GraphTask("b", "y", ("a",))]) == (
        'digraph "orders" {\n'
        "    rankdir=TB;\n"
        '    node [fontname="sans-serif"];\n'
        '    n0 [label="a\\nx\\\\n\\"]; evil", shape=box];\n'
        '    n1 [label="b\\ny", shape=box];\n'
        "    n0 -> n1;\n"
        "}\n"
    )


def test_no_text_becomes_syntax_or_a_line_of_its_own() -> None:
    nasty = 'end\n"] --> x; #quot; <script> `{`| %% \\ \x1b'
    text = mermaid("t", [GraphTask("end", nasty, when=nasty)])
    label = re.search(r'n0\{\{"(.*)"\}\}$', text, re.MULTILINE)
    assert label is not None
    assert not re.search(r'["<>`{}|%\\\[\]]', label[1].replace("<br/>", ""))
    assert len(text.splitlines()) == 5

    lines = dot("t", [GraphTask("end", nasty, when=nasty)]).splitlines()

    assert len(lines) == 5
    assert re.fullmatch(r'    n0 \[label="(?:[^"\\]|\\.)*", shape=hexagon\];', lines[3])


def test_long_texts_are_cut() -> None:
    assert len(mermaid("t", [GraphTask("a", "x" * 5_000)])) < 250
