"""The source: linters, types, versions, and the stub of the compiled core."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gaussmix
from gaussmix import _cpu, _dispatch

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a source tree")


def run(module, *arguments):
    if os.environ.get("CI"):
        pytest.skip("a stage of its own")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command):
    found = run("ruff", *command, "--no-cache", "python", "tests", "bench", "examples")
    assert found.returncode == 0, found.stdout + found.stderr


def test_mypy_strict(tmp_path):
    found = run("mypy", "--cache-dir", str(tmp_path))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("pyproject.toml", r'^version = "([^"]+)"'),
        ("CMakeLists.txt", r"^project\(gaussmix VERSION ([0-9.]+)"),
    ],
)
def test_versions_agree(path, pattern):
    assert re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)[1] == gaussmix.__version__


def headers():
    """Return the text of each header of the C++ library, by its name."""
    folder = ROOT / "cpp" / "include" / "gaussmix"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.hpp"))}


def test_the_version_of_the_headers():
    numbers = re.findall(r"^#define GAUSSMIX_VERSION_[A-Z]+ (\d+)$", headers()["version.hpp"], re.MULTILINE)
    assert ".".join(numbers) == gaussmix.__version__


def test_all_of_the_core_is_in_the_namespace_of_its_version():
    for name, text in headers().items():
        opened = text.count("namespace gaussmix {\n")
        assert opened > 0 or name == "gaussmix.hpp", name
        assert opened == text.count("namespace gaussmix {\ninline namespace GAUSSMIX_ABI {\n"), name
        assert "namespace gaussmix::" not in text, name


def test_the_compiled_core_is_of_this_version():
    assert _dispatch.core.config["version"] == gaussmix.__version__


def members(body):
    """Return the public names, and the classes with theirs, that a stub declares."""
    names = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = members(node.body)
        elif isinstance(node, ast.FunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = node
    return names


def stub(name):
    return members(ast.parse((ROOT / "python" / "gaussmix" / name).read_text()).body)


def public(thing):
    return {name for name in vars(thing) if not name.startswith("_")}


def test_the_stub_names_what_the_core_exports():
    declared, core = stub("_core.pyi"), _dispatch.core
    # Dicts, and what Python hands in: known to the stub alone.
    for name in ("FitResult", "PassesResult", "Pass", "Passes"):
        assert declared.pop(name) is not None
    of_types = set()
    for name, kinds in {"Mixture": core.mixtures, "Statistics": core.statistics}.items():  # one class a covariance type
        methods = declared.pop(name)
        assert set(kinds) == {"full", "tied", "diag", "spherical"}
        for kind in kinds.values():
            assert public(kind) == set(methods) - {"__init__"}
            of_types.add(kind.__name__)
    assert public(core) - of_types == set(declared)
    assert public(core.Data) == set(declared["Data"]) - {"__init__"}
    assert public(_cpu) == set(stub("_cpu.pyi"))


def test_the_stub_has_the_arguments_of_the_core():
    declared, core = stub("_core.pyi"), _dispatch.core
    functions = [(node, getattr(core, name)) for name, node in declared.items() if isinstance(node, ast.FunctionDef)]
    for name, kind in {"Mixture": core.mixtures["full"], "Statistics": core.statistics["full"]}.items():
        methods = [(node, getattr(kind, method)) for method, node in declared[name].items()]
        functions += [(node, function) for node, function in methods if callable(function)]
    for node, function in functions:
        arguments = node.args
        expected = [a.arg for a in (*arguments.args, *arguments.kwonlyargs) if a.arg != "self"]
        # pybind11 puts the signature into the first line of the docstring.
        first = function.__doc__.splitlines()[0]
        assert [a for a in re.findall(r"[(,] ?(\w+): ", first) if a != "self"] == expected, first
