"""Write a definition as the YAML that a careful author would write: one text for each definition.

Fields come in the contract's order. Names that the contract does not fix (labels, the members of payloads)
are sorted by the alphabet. Keywords of a JSON Schema come in the order in which schemas are mostly written.
Nothing is folded, shortened or given an anchor. Texts are quoted only if some reader of YAML 1.1 or 1.2 would
read them as something else. `durations.written` writes the durations, and `definition_file.load` reads the
same definition back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from workflow_contract.payloads import MAX_WHOLE
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from workflowctl import durations
from workflowctl.definition_file import ID_KEY
from workflowctl.safe_text import OBEYED, yaml_escape

_INDENT = 2
_MAX_FLOW_LIST = 72
_MAX_QUOTED_TEXT = 80
_MAX_SIMPLE_KEY = 100
"""Readers accept a key of at most 1,024 characters, and an escape has up to ten."""
_TAG = "tag:yaml.org,2002:"
_SCHEMA_ORDER = (
    "$schema",
    "$id",
    "$anchor",
    "$ref",
    "type",
    "title",
    "description",
    "format",
    "const",
    "enum",
    "default",
    "examples",
    "properties",
    "patternProperties",
    "required",
    "additionalProperties",
    "prefixItems",
    "items",
)
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_IN_FLOW = re.compile(r"[^\s,:#\[\]{}\"'\\](?:[^\n,:#\[\]{}\"'\\]*[^\s,:#\[\]{}\"'\\])?")
_IN_BLOCK = re.compile(
    "[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010fffe]+"
)


def dump(workflow_id: str, definition: WorkflowDefinition) -> str:
    """Return the text of the definition, which ends with a line break. Equal definitions have equal texts.

    Raise ValueError for a value that no file can contain: a number that is not finite, or a duration below
    zero. A Value without a kind, which JSON does not have, becomes null.
    """
    sections = [_section(ID_KEY, _text(workflow_id))]
    for field, value in definition.ListFields():
        if field.name == "tasks":
            sections.append("\n".join(_task(task, first=n == 0) for n, task in enumerate(value)))
        else:
            sections.append(_section(field.name, _field(field, value)))
    # Texts with one of these characters get double quotes, see `choose_scalar_style`.
    return OBEYED.sub(yaml_escape, _spaced(sections))


def _spaced(sections: Iterable[str]) -> str:
    """Join the entries.

    A blank line separates an entry of several lines from the ones before and after it.
    """
    text, before = "", 1
    for section in sections:
        lines = section.count("\n")
        text += ("\n" if max(lines, before) > 1 else "") + section
        before = lines
    return text


def _section(name: str, node: yaml.Node) -> str:
    text: str = yaml.serialize(_mapping([(name, node)]), Dumper=_Dumper, **_OPTIONS)
    return text


def _task(task: Message, *, first: bool) -> str:
    text = _section("tasks", yaml.SequenceNode(_TAG + "seq", [_message(task)], flow_style=False))
    return text if first else text.partition("\n")[2]


def _message(message: Message) -> yaml.Node:
    return _mapping((field.name, _field(field, value)) for field, value in message.ListFields())


def _field(field: FieldDescriptor, value: Any) -> yaml.Node:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _mapping((key, _text(value[key])) for key in sorted(value))
    one = _NODES.get(kind.full_name, _message) if kind is not None else _scalar
    if field.name.endswith("_schema"):
        one = _schema
    return _list([one(each) for each in value]) if field.is_repeated else one(value)


def _duration(value: Any) -> yaml.Node:
    return _text(durations.written(value.seconds, value.nanos))


def _value(value: Any) -> yaml.Node:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return _list([_value(each) for each in value.list_value.values])
    return _scalar(None if kind in (None, "null_value") else getattr(value, kind))


def _struct(value: Any) -> yaml.Node:
    return _mapping((key, _value(value.fields[key])) for key in sorted(value.fields))


def _schema(value: Any) -> yaml.Node:
    """Return a JSON Schema with its keywords in their usual order."""
    known = [key for key in _SCHEMA_ORDER if key in value.fields]
    others = sorted(set(value.fields).difference(known))
    return _mapping((key, _keyword(key, value.fields[key])) for key in (*known, *others))


def _keyword(key: str, value: Any) -> yaml.Node:
    kind = value.WhichOneof("kind")
    if kind == "struct_value" and key in _NAMED_SCHEMAS:
        members = value.struct_value.fields
        return _mapping((name, _schema_or_value(members[name])) for name in sorted(members))
    if key in ("const", "default", "examples", "enum"):
        return _value(value)
    return _schema_or_value(value)


def _schema_or_value(value: Any) -> yaml.Node:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _schema(value.struct_value)
    if kind == "list_value":
        return _list([_schema_or_value(each) for each in value.list_value.values])
    return _value(value)


_NODES: dict[str, Callable[[Any], yaml.Node]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
}


def _mapping(members: Iterable[tuple[str, yaml.Node]]) -> yaml.Node:
    return yaml.MappingNode(_TAG + "map", [(_text(key), node) for key, node in members], flow_style=False)


def _list(items: list[yaml.Node]) -> yaml.Node:
    """Return the list in brackets, if it is short and no text in it would be confusing in brackets."""
    plain = all(isinstance(item, yaml.ScalarNode) and _IN_FLOW.fullmatch(item.value) for item in items)
    short = plain and sum(len(item.value) + 2 for item in items) <= _MAX_FLOW_LIST
    return yaml.SequenceNode(_TAG + "seq", items, flow_style=short)


def _text(value: str) -> yaml.Node:
    return yaml.ScalarNode(_TAG + "str", value)


def _scalar(value: str | float | None) -> yaml.Node:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return yaml.ScalarNode(_TAG + "null", "null")
    if isinstance(value, bool):
        return yaml.ScalarNode(_TAG + "bool", "true" if value else "false")
    return _number(value)


def _number(value: float) -> yaml.Node:
    """Return a whole number without a point, and an exponent as YAML 1.1 needs it: `1.0e+300`."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that a definition can contain")
    negative_zero = value == 0 and math.copysign(1, value) < 0
    if value == int(value) and abs(value) <= MAX_WHOLE and not negative_zero:
        return yaml.ScalarNode(_TAG + "int", str(int(value)))
    text = repr(value)
    return yaml.ScalarNode(_TAG + "float", text if "." in text else text.replace("e", ".0e"))


class _Dumper(yaml.SafeDumper):
    """Writes YAML with indented lists. The style of each text depends on the text alone."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def check_simple_key(self) -> bool:
        return len(self._text()) <= _MAX_SIMPLE_KEY

    def choose_scalar_style(self) -> str:
        text = self._text()
        style: str = super().choose_scalar_style()
        if OBEYED.search(text) is not None:
            return '"'
        if style == "":
            return style
        if not self.flow_level and not self.simple_key_context and _belongs_in_block(text):
            return "|"
        confusing = '"' in text or "\\" in text
        return "'" if style == "'" and confusing and text.isprintable() else '"'

    def _text(self) -> str:
        assert isinstance(self.event, yaml.ScalarEvent)  # no other node is a key here
        return str(self.event.value)


def _belongs_in_block(text: str) -> bool:
    """Return whether a text that needs quotes is easier to read, and exactly kept, as a literal block."""
    long = "\n" in text or len(text) > _MAX_QUOTED_TEXT
    if not long or _IN_BLOCK.fullmatch(text) is None or text[0] in " \t\n" or text.endswith("\n\n"):
        return False
    return not any(line.endswith((" ", "\t")) for line in text.split("\n"))


# Texts that YAML 1.2 reads as another type, in addition to the ones that PyYAML knows from YAML 1.1; and `y`
# and `n` of YAML 1.1, which PyYAML does not know.
_Dumper.add_implicit_resolver(_TAG + "int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+)$"), list("-+0123456789"))
_Dumper.add_implicit_resolver(
    _TAG + "float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver(_TAG + "bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_OPTIONS: dict[str, Any] = {"allow_unicode": True, "width": math.inf, "indent": _INDENT}
