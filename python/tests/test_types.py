"""The types that the package states are true."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import skimp
from skimp import records
from skimp._record import Part

ROOT = Path(__file__).parents[2]


def test_types_are_checked_strictly() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "python/skimp", "python/tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"MYPYPATH": "python:python/tests", "PATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_types_are_found(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import skimp\n"
        'network = skimp.load("sample-resnet")\n'
        'network.evaluate(data="sample", split="middle")\n'
        'network.evaluate(data="sample").top_1\n'
        'network.inspect(size=3)\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"MYPYPATH": "python:python/tests", "PATH": ""})
    assert done.returncode == 1
    assert [line.split(":")[1] for line in done.stdout.splitlines() if ": error: " in line] == ["3", "4", "5"], done.stdout


def check_value(hint: Any, value: Any, path: str) -> None:
    """A value has the type that its annotation says."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        if value is not None:
            [needed] = [argument for argument in arguments if argument is not types.NoneType]
            check_value(needed, value, path)
    elif get_origin(hint) is list:
        assert isinstance(value, list), f"{path}: {value!r}"
        for at, item in enumerate(value):
            check_value(arguments[0], item, f"{path}[{at}]")
    elif get_origin(hint) is dict:
        assert isinstance(value, dict), f"{path}: {value!r}"
        for key, item in value.items():
            check_value(arguments[1], item, f"{path}[{key}]")
    elif hint is not Any:
        assert isinstance(value, (int, float) if hint is float else hint), f"{path}: {value!r}, expected {hint}"
        if isinstance(value, Part):
            check(value, path)


def check(part: Part, path: str) -> None:
    """Every key of a record is annotated, and holds what the annotation says."""
    hints = {name: hint for name, hint in get_type_hints(type(part)).items() if not name.startswith("_")}
    # What else an entry of a list has depends on the list.
    if type(part) not in (Part, records.ListEntry):
        unknown = set(part.to_dict()) - set(hints)
        assert not unknown, f"{path}: {type(part).__name__} lacks {sorted(unknown)}"
    for name, hint in hints.items():
        check_value(hint, getattr(part, name), f"{path}.{name}")


def test_annotations_are_the_keys_of_records(network: skimp.Network) -> None:
    check(network.inspect(), "inspect")
    check(network.evaluate(data="sample", images=20), "evaluate")
    check(network.evaluate(data="sample", images=20, engine="integer"), "evaluate")
    designs = "compend,dadiannao,cnvlutin,eyeriss,snapea,isaac,systolic"
    check(network.simulate(accelerator=designs, data="sample", accuracy_images=20), "simulate")
    for what in ("accelerators", "networks", "studies"):
        check(skimp.list(what), "list")
    check(skimp.settings("compend"), "settings")


def test_everything_public_is_documented() -> None:
    for module in (skimp, skimp.errors, records):
        for name, value in vars(module).items():
            if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            if value.__module__.startswith("skimp"):
                assert value.__doc__, name
                for member, inner in vars(value).items():
                    if inspect.isfunction(inner) and not member.startswith("_"):
                        assert inner.__doc__, f"{name}.{member}"


def test_defaults_are_those_of_the_command_line(network: skimp.Network) -> None:
    # Whatever is left out is the configuration's own default: no signature repeats one.
    for method in (skimp.Network.evaluate, skimp.Network.simulate):
        for name, parameter in inspect.signature(method).parameters.items():
            assert parameter.default in (None, (), False, inspect.Parameter.empty), name
    assert np.__version__ >= "2"
