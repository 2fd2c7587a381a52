"""Write docs/definition.schema.json: the JSON Schema of a workflow's file, for editors.

The schema comes from the contract: its fields, its comments and its rules. May be repeated.

    python libs/workflow-protos/definition_schema.py
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.duration_pb2 import Duration
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "definition.schema.json"
SOURCE = "workflowsystem/catalog/v1/workflow_catalog_service.proto"
PACKAGE = ".workflowsystem.catalog.v1."
TITLE = "A workflow of WorkflowSystem"
DURATION_PATTERN = "^{}$".format(
    "".join(f"([0-9]+([.][0-9]+)?{unit})?" for unit in ("d", "h", "m", "s", "ms", "us"))
)
"""Each unit at most once, the largest first. `minLength` requires at least one."""
_DURATION = {
    "type": "string",
    "minLength": 2,
    "maxLength": 64,
    "pattern": DURATION_PATTERN,
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    ".google.protobuf.Duration": _DURATION,
    ".google.protobuf.Struct": {"type": "object"},
    ".google.protobuf.Value": {},
}
_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptorProto.TYPE_DOUBLE: {"type": "number"},
}
_KEYWORDS = {
    "string": {"pattern": "pattern", "min_len": "minLength", "max_len": "maxLength"},
    "int32": {"gte": "minimum", "lte": "maximum"},
    "double": {"gte": "minimum", "lte": "maximum"},
    "repeated": {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"},
    "map": {"min_pairs": "minProperties", "max_pairs": "maxProperties"},
}
"""The keyword of each rule, by the kind of rules.

Any other rule raises an error, because it would be lost.
"""
_INNER_RULES = ("items", "keys", "values")

Schema = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """A message of the contract with its comments."""

    descriptor: DescriptorProto
    comment: str
    field_comments: tuple[str, ...]

    def fields(self) -> Iterator[tuple[FieldDescriptorProto, str]]:
        """Return each field with its comment, in the order of the contract."""
        return zip(self.descriptor.field, self.field_comments, strict=True)

    def field(self, name: str) -> tuple[FieldDescriptorProto, str]:
        """Return one field with its comment."""
        return next(pair for pair in self.fields() if pair[0].name == name)

    def is_map(self, field: FieldDescriptorProto) -> bool:
        """Return whether the field is a map; all maps of the contract map texts to texts."""
        nested = {entry.name for entry in self.descriptor.nested_type if entry.options.map_entry}
        return field.type_name.rpartition(".")[2] in nested


class Generator:
    """Builds the schema, and collects the messages that it finds in `definitions`."""

    def __init__(self, messages: dict[str, Message]) -> None:
        self._messages = messages
        self.definitions: dict[str, Schema] = {}

    def file(self) -> Schema:
        """Return the schema of a workflow's file: the id of the workflow, then the fields of a definition."""
        create = self._messages[f"{PACKAGE}CreateWorkflowRequest"]
        definition = self._messages[f"{PACKAGE}WorkflowDefinition"]
        members = [
            (create, *create.field("workflow_id")),
            *((definition, *pair) for pair in definition.fields()),
        ]
        schema = self._object(definition.comment, members, "#")
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": TITLE,
            **schema,
            "$defs": dict(sorted(self.definitions.items())),
        }

    def _object(
        self, comment: str, members: list[tuple[Message, FieldDescriptorProto, str]], place: str
    ) -> Schema:
        """Return the schema of an object.

        It accepts names in camelCase as patterns, which editors do not suggest.
        """
        fields = [field for _, field, _ in members]
        required = [field for field in fields if _is_required(field)]
        schema: Schema = {
            "description": comment,
            "type": "object",
            "properties": {field.name: self._field(owner, field, text) for owner, field, text in members},
            "patternProperties": {
                f"^{field.json_name}$": {"$ref": f"{place}/properties/{field.name}"}
                for field in fields
                if field.json_name != field.name
            },
            "additionalProperties": False,
            "required": [field.name for field in required if field.json_name == field.name],
            "anyOf": [
                {"required": [name]}
                for field in required
                if field.json_name != field.name
                for name in (field.name, field.json_name)
            ],
        }
        return {key: value for key, value in schema.items() if value not in ([], {})}

    def _field(self, owner: Message, field: FieldDescriptorProto, comment: str) -> Schema:
        rules = _rules(field)
        if owner.is_map(field):
            schema: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
        elif field.label == FieldDescriptorProto.LABEL_REPEATED:
            schema = {"type": "array", "items": self._one(field)}
        else:
            schema = self._one(field)
        text = " ".join([comment, _bounds(rules)]).strip()
        return {"description": text, **schema, **_constraints(rules, schema)}

    def _one(self, field: FieldDescriptorProto) -> Schema:
        if field.type != FieldDescriptorProto.TYPE_MESSAGE:
            return dict(_SCALARS[field.type])
        if field.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[field.type_name])
        name = field.type_name.removeprefix(PACKAGE)
        place = f"#/$defs/{name}"
        if name not in self.definitions:
            message = self._messages[field.type_name]
            self.definitions[name] = {}  # a message may contain itself
            members = [(message, *pair) for pair in message.fields()]
            self.definitions[name] = self._object(message.comment, members, place)
        return {"$ref": place}


def _rules(field: FieldDescriptorProto) -> Any:
    extension: Any = validate_pb2.field  # the stub lacks its type
    return field.options.Extensions[extension]


def _is_required(field: FieldDescriptorProto) -> bool:
    """Return whether a rule requires the field: explicitly, or because the empty text of an unset field
    breaks it.
    """
    rules = _rules(field)
    skips_empty = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
    single = field.label != FieldDescriptorProto.LABEL_REPEATED
    return rules.required or (single and rules.string.HasField("pattern") and not skips_empty)


def _constraints(rules: Any, schema: Schema) -> Schema:
    kind = rules.WhichOneof("type")
    if kind is None or kind == "duration":  # a schema can't compare durations: see `_bounds`
        return {}
    keywords = _KEYWORDS[kind]
    found: Schema = {}
    for rule, value in getattr(rules, kind).ListFields():
        if rule.name not in _INNER_RULES:
            found[keywords[rule.name]] = (
                int(value) if isinstance(value, float) and value.is_integer() else value
            )
        elif rule.name == "keys":
            found["propertyNames"] = _constraints(value, {})
        else:
            inner = "items" if rule.name == "items" else "additionalProperties"
            found[inner] = {**schema[inner], **_constraints(value, {})}
    return found


def _bounds(rules: Any) -> str:
    """Return the range of a duration in words."""
    if rules.WhichOneof("type") != "duration":
        return ""
    assert {rule.name for rule, _ in rules.duration.ListFields()} == {"gte", "lte"}
    least, most = _words(rules.duration.gte), _words(rules.duration.lte)
    return f"A duration such as `1m30s` or `500ms`, from {least} to {most}."


def _words(duration: Duration) -> str:
    milliseconds = duration.ToMilliseconds()
    for size, unit in ((86_400_000, "d"), (1_000, "s")):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def messages() -> dict[str, Message]:
    """Return the messages of the catalog's contract by full name.

    Raise RuntimeError if it does not compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contracts"
        includes = [ROOT / "protos", ROOT / "third_party", files("grpc_tools") / "_proto"]
        options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"]
        if protoc.main(["protoc", *(f"-I{path}" for path in includes), *options, SOURCE]):
            raise RuntimeError("the contracts do not compile: see above")
        compiled = FileDescriptorSet.FromString(target.read_bytes())
    found = {}
    for file in compiled.file:
        comments = {
            tuple(each.path): " ".join(each.leading_comments.split())
            for each in file.source_code_info.location
        }
        for index, descriptor in enumerate(file.message_type):
            field_comments = tuple(comments.get((4, index, 2, n), "") for n in range(len(descriptor.field)))
            name = f".{file.package}.{descriptor.name}"
            found[name] = Message(descriptor, comments.get((4, index), ""), field_comments)
    return found


def render() -> str:
    """Return the text of the file."""
    return json.dumps(Generator(messages()).file(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}", file=sys.stderr)
