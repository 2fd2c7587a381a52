"""Every SQL statement of the services has a sentence that says what it does."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(ROOT.glob("services/*/src/**/adapters/postgres/*_sql.py"))
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def unexplained(text: str) -> list[str]:
    """Return the names of statements without a comment above them or a docstring below them.

    One comment may stand above several statements without a blank line between them.
    """
    lines, body = text.splitlines(), ast.parse(text).body
    found, explained_line = [], 0
    for node, following in zip(body, [*body[1:], None], strict=True):
        name = _statement_of(node)
        if name is None:
            continue
        above = lines[node.lineno - 2]
        if above.startswith("#") or node.lineno == explained_line + 1 or _is_docstring(following):
            explained_line = node.end_lineno or node.lineno
        else:
            found.append(name)
    return found


def _statement_of(node: ast.stmt) -> str | None:
    """Return the name that a statement of SQL is assigned to, if the node is such an assignment."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return None
    name = node.targets[0].id
    is_made = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith("_")
    return name if name.isupper() and not name.startswith("_") and (is_made or _is_sql(node.value)) else None


def _is_sql(value: ast.expr) -> bool:
    text = value.values[0] if isinstance(value, ast.JoinedStr) else value
    return isinstance(text, ast.Constant) and str(text.value).strip().startswith(VERBS)


def _is_docstring(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parts[-6]}-{path.stem}")
def test_every_statement_has_a_sentence(module: Path) -> None:
    assert unexplained(module.read_text()) == []


def test_a_statement_without_a_sentence_would_be_found() -> None:
    text = '# Return one.\nONE = "SELECT 1"\nTWO = f"SELECT {2}"\n\n'
    text += 'THREE = _made()\nFOUR = "SELECT 4"\n"""Four."""\n'

    assert unexplained(text) == ["THREE"]
