"""Generate the Python code of the contracts into `src/`, and replace the old code. May be repeated."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUT = HERE / "src"


def generate() -> int:
    """Run protoc for every contract, and return its exit code."""
    sources = sorted(str(path) for path in (ROOT / "protos").rglob("*.proto"))
    # No wheel has the code of these rules.
    sources.append(str(ROOT / "third_party" / "buf" / "validate" / "validate.proto"))
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    includes = [ROOT / "protos", ROOT / "third_party", files("grpc_tools") / "_proto"]
    arguments = ["protoc", *(f"-I{path}" for path in includes)]
    arguments += [f"--{kind}_out={OUT}" for kind in ("python", "pyi", "grpc_python")]
    code: int = protoc.main([*arguments, *sources])
    for folder in {path.parent for path in OUT.rglob("*_pb2.py")}:
        (folder / "py.typed").touch()
    return code


if __name__ == "__main__":
    sys.exit(generate())
