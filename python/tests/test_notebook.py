"""The notebook runs, and shows what it says that it shows."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_the_notebook_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    stored = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    fresh = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    nbclient.NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()

    def shown(notebook: Any, word: str) -> dict[str, str]:
        """What the last cell with that word shows."""
        [*_, cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and word in cell.source]
        return dict(cell.outputs[-1].data)

    # The figures are those that it was stored with.
    for word in ("network.run", "few.top1", "dense.total.cycles /", "groupby", "bytes_after"):
        assert shown(fresh, word)["text/plain"] == shown(stored, word)["text/plain"]
    faster = ast.literal_eval(shown(fresh, "dense.total.cycles /")["text/plain"])
    assert faster["END"] > faster["no END"] > 0
    for word, row in (("network.inspect", "conv1"), ("no END", "dense"), ("class OneByOne", "one-by-one")):
        html = shown(fresh, word)["text/html"]
        assert "<table" in html and "</table>" in html and row in html, word
    assert (tmp_path / "sample-resnet-int8.onnx").is_file()
