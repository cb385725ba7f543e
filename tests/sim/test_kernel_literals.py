"""In a Warp kernel a number that is written out is single precision until it is named double: none may slip through.

`Real(0.1)` is double, but `Real(1.0 / 3.0)` is a quotient in single precision that is made double afterwards.
"""

import ast
from pathlib import Path

import pytest
import warp as wp

import sim

DOUBLE = {"Real", "wp.float64"}
NAMED = DOUBLE | {"wp.float32"}
SINGLE = {"mesh_inside"}
"""Kernels in single precision throughout."""
FILES = sorted(
    path
    for path in Path(sim.__file__).parent.rglob("*.py")
    if path.parent.name == "soft" or path.name.startswith(("rod_", "wall_"))
)


@wp.kernel(enable_backward=False)
def thirds(out: wp.array[wp.float64]) -> None:
    """Write a third in two ways."""
    out[0] = wp.float64(1.0) / wp.float64(3.0)
    out[1] = wp.float64(1.0 / 3.0)
    out[2] = wp.float64(0.1)


def unnamed(source: str) -> list[tuple[str, int, str]]:
    """Return (function, line, text) of literals in kernels that are not alone in a call which names their type."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef) or function.name in SINGLE:
            continue
        if not any(ast.unparse(one).startswith(("wp.kernel", "wp.func")) for one in function.decorator_list):
            continue
        alone = set()
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in NAMED and len(call.args) == 1:
                inner = call.args[0].operand if isinstance(call.args[0], ast.UnaryOp) else call.args[0]
                alone.add(id(inner))
        for node in ast.walk(function):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and id(node) not in alone:
                found.append((function.name, node.lineno, ast.unparse(node)))
    return found


def test_a_quotient_of_literals_is_single_precision():
    out = wp.zeros(3, dtype=wp.float64, device="cpu")
    wp.launch(thirds, 1, inputs=[out], device="cpu")
    named, quotient, tenth = (float(value) for value in out.numpy())
    assert named == 1 / 3
    assert tenth == 0.1
    assert 1e-9 < abs(quotient - 1 / 3) < 1e-7


def test_the_search_finds_such_literals():
    text = "@wp.func\ndef f(x: wp.float64) -> wp.float64:\n    return x * Real(1.0 / 3.0) + 0.5 + Real(-2.0)\n"
    assert [value for _, _, value in unnamed(text)] == ["0.5", "1.0", "3.0"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_literal_of_a_double_kernel_is_single(path):
    assert unnamed(path.read_text(encoding="utf-8")) == []


def test_there_are_kernels_to_look_at():
    kernels = [path for path in FILES if "wp.kernel" in path.read_text(encoding="utf-8")]
    assert {"corotational.py", "neo_hookean.py", "rod_kernels.py"} <= {path.name for path in kernels}
