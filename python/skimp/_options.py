"""Keyword arguments in the forms that the command line's flags have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Union

Setting = Union[bool, int, float, str, Sequence[Union[int, float, str]]]
"""Value of an accelerator's setting."""

Settings = Union[str, Sequence[str], Mapping[str, Union[Setting, Mapping[str, Setting]]]]
"""``{"compend": {"end": False}}``, ``{"compend.end": False}``, or ``"compend.end=false"``, or several of these texts."""

Presets = Union[str, Sequence[str], Mapping[str, Union[str, "os.PathLike[str]"]]]
"""``{"compend": "chip.toml"}``, or ``"compend=chip.toml"``, or several of these texts."""


def texts(given: str | Iterable[str]) -> list[str]:
    """One text, or several."""
    return [given] if isinstance(given, str) else list(given)


def path(given: str | os.PathLike[str] | None) -> str | None:
    """A path as text."""
    return None if given is None else os.fspath(given)


def _written(value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else repr(item) for item in value) + "]"
    return str(value)


def settings(given: Settings) -> list[str]:
    """Settings as ``ACCELERATOR.KEY=VALUE``."""
    if not isinstance(given, Mapping):
        return texts(given)
    found: list[str] = []
    for name, value in given.items():
        if isinstance(value, Mapping):
            found.extend(f"{name}.{key}={_written(inner)}" for key, inner in value.items())
        else:
            found.append(f"{name}={_written(value)}")
    return found


def presets(given: Presets) -> list[str]:
    """Presets as ``ACCELERATOR=FILE``."""
    if not isinstance(given, Mapping):
        return texts(given)
    return [f"{name}={os.fspath(file)}" for name, file in given.items()]
