from pathlib import Path
from typing import Any

import pytest

from examples.code_census.handlers import count_package, list_packages, report

LONG = "class Shop:\n    def open(self):\n        def inner():\n            pass\n        return inner\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "single.py": "def f():\n    pass\n",
        "shop/__init__.py": LONG,
        "shop/till.py": "async def ring():\n    pass\n\n\nclass Till: pass\n",
        "shop/sub/part.py": "x = 1\n",
        "shop/tests/test_shop.py": "raise SystemExit\n",
        "site-packages/other.py": "y = 1\n",
        "old/__init__.py": "print 'python 2'\n",
        "empty-dir/config.py": "z = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def census(root: Path) -> dict[str, Any]:
    listed = list_packages({"root": str(root)})
    counts = [count_package(package) for package in listed["packages"]]
    return report({"root": listed["root"], "counts": counts})


def test_packages_and_modules_are_listed_and_tests_are_left_out(root: Path) -> None:
    packages = list_packages({"root": str(root)})["packages"]
    assert [package["name"] for package in packages] == ["old", "shop", "shop.sub", "single"]


def test_a_package_is_counted_without_its_sub_packages(root: Path) -> None:
    shop = count_package({"name": "shop", "root": str(root), "path": "shop"})
    assert shop == {
        "name": "shop",
        "files": 2,
        "lines": 10,
        "functions": 3,
        "classes": 2,
        "unreadable": 0,
        "longest_function": {"name": "shop.Shop.open", "lines": 4},
    }


def test_the_report_has_the_totals_and_the_largest_first(root: Path) -> None:
    found = census(root)

    assert (found["packages"], found["files"], found["lines"]) == (4, 5, 14)
    assert (found["functions"], found["classes"], found["unreadable"]) == (4, 2, 1)
    assert found["longest_function"] == {"name": "shop.Shop.open", "lines": 4}
    assert [package["name"] for package in found["largest"]] == ["shop", "single", "old", "shop.sub"]


def test_the_report_is_the_same_every_time(root: Path) -> None:
    assert census(root) == census(root)


def test_a_root_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="give `root` another one"):
        list_packages({"root": str(tmp_path / "nowhere")})


def test_the_standard_library_makes_hundreds_of_tasks() -> None:
    packages = list_packages({})["packages"]

    assert len(packages) > 150  # 3.13 has fewer modules than 3.11
    assert {"asyncio", "email.mime", "json", "os"} <= {package["name"] for package in packages}
