"""What the tests share."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skimp

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def network() -> skimp.Network:
    return skimp.load("sample-resnet")


@pytest.fixture(scope="session")
def cli() -> Callable[..., Any]:
    """Runs the command line, which `cargo test` has built, and reads its JSON."""
    program = Path(os.environ.get("SKIMP_CLI", ROOT / "target" / "debug" / "skimp"))
    if not program.exists():
        pytest.skip(f"{program} is not built")

    def run(*arguments: str) -> Any:
        done = subprocess.run([program, *arguments, "--format", "json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    return run
