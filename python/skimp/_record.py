"""How records are seen from Python."""

from __future__ import annotations

import functools
import io
import json
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from skimp._native import Record as _Native
from skimp.errors import SkimpError

if TYPE_CHECKING:
    import pandas as pd


class Part:
    """A part of a record. The keys of its JSON are attributes; one that may be left out is ``None`` then."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    if not TYPE_CHECKING:
        # Types are those of the annotations.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            kind = _kinds(type(self)).get(name)
            if name in self._values:
                value = self._values[name]
                return kind.see(value) if kind else _anything(value)
            if kind is None:
                has = ", ".join(self._values)
                raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {has}")
            return kind.absent()

    def __getitem__(self, key: str) -> Any:
        return _anything(self._values[key])

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and self._values == other._values

    def __hash__(self) -> int:
        return hash(json.dumps(self._values, sort_keys=True))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={_short(value)}" for key, value in self._values.items())
        return f"{type(self).__name__}({inner})"

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, which are the caller's own."""
        copy: dict[str, Any] = json.loads(json.dumps(self._values))
        return copy


class Record(Part):
    """What a command found. Records are read where somebody first looks at one."""

    def __init__(self, native: _Native) -> None:
        self._native = native

    @functools.cached_property
    def _values(self) -> dict[str, Any]:  # type: ignore[override]
        return self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """What the command line prints with ``--format json``, as plain dictionaries and lists."""
        values: dict[str, Any] = json.loads(self._native.json())
        return values

    def to_json(self) -> str:
        """What the command line prints with ``--format json``, on one line."""
        return self._native.json()

    def to_csv(self) -> str:
        """What the command line prints with ``--format csv``."""
        return self._native.csv()

    def to_pandas(self) -> pd.DataFrame:
        """The table of :meth:`to_csv` as a data frame. Needs pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise SkimpError("to_pandas needs pandas: pip install 'skimp[pandas]'") from error
        return pd.read_csv(io.StringIO(self.to_csv()))

    def __str__(self) -> str:
        return self._native.text(None)

    def __repr__(self) -> str:
        return f"<{' '.join([type(self).__name__, *filter(None, [self._values.get('schema')])])}>"

    def _repr_html_(self) -> str:
        return _STYLE + f'<div class="skimp-record">{self._native.html()}</div>'


_STYLE = (
    "<style>.skimp-record{overflow-x:auto}.skimp-record table{margin:0 0 1em}"
    ".skimp-record caption{text-align:left;font-weight:600;padding:.3em 0}"
    ".skimp-record th,.skimp-record td{text-align:left;padding:.2em .6em;white-space:nowrap}"
    ".skimp-record .number{text-align:right;font-variant-numeric:tabular-nums}</style>"
)


class _Kind:
    """How a value of an annotated key is seen."""

    def __init__(self, hint: Any) -> None:
        options = [option for option in get_args(hint) if option is not types.NoneType]
        is_union = get_origin(hint) in (Union, types.UnionType)
        self._hint = options[0] if is_union and len(options) == 1 else hint
        self._inner = [_Kind(argument) for argument in get_args(self._hint) if argument is not types.NoneType]

    def see(self, value: Any) -> Any:
        if isinstance(self._hint, type) and issubclass(self._hint, Part) and isinstance(value, dict):
            return self._hint(value)
        origin = get_origin(self._hint)
        if origin is list and isinstance(value, list):
            return [self._inner[0].see(item) for item in value]
        if origin is dict and isinstance(value, dict):
            return {key: self._inner[1].see(item) for key, item in value.items()}
        return _anything(value)

    def absent(self) -> Any:
        origin: Callable[[], Any] | None = get_origin(self._hint)
        return origin() if origin in (list, dict) else None


_KINDS: dict[type[Part], dict[str, _Kind]] = {}


def _kinds(of: type[Part]) -> dict[str, _Kind]:
    if of not in _KINDS:
        hints = get_type_hints(of)
        _KINDS[of] = {name: _Kind(hint) for name, hint in hints.items() if not name.startswith("_")}
    return _KINDS[of]


def _anything(value: Any) -> Any:
    if isinstance(value, dict):
        return Part(value)
    if isinstance(value, list):
        return [_anything(item) for item in value]
    return value


def _short(value: Any) -> str:
    text = f"[{len(value)} items]" if isinstance(value, list) and len(value) > 4 else repr(value)
    return "{…}" if isinstance(value, dict) and len(text) > 60 else text
