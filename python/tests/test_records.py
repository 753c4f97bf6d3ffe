"""Records and arrays."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

import skimp

ROOT = Path(__file__).parents[2]


def test_records_have_attributes_and_forms(network: skimp.Network) -> None:
    record = network.simulate(accelerator="compend,dadiannao", data="sample")
    assert [design.label for design in record.accelerators] == ["compend", "dadiannao"]
    assert record.accelerators[0].total.energy_mj == record.to_dict()["accelerators"][0]["total"]["energy_mj"]
    with pytest.raises(AttributeError, match="energy_mj"):
        _ = record.accelerators[0].total.energy  # type: ignore[attr-defined]
    html = record._repr_html_()
    assert html.count("<table") == html.count("</table>") >= 1 and "compend" in html
    assert "compend" in str(record)
    pandas = pytest.importorskip("pandas")
    frame = record.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert set(frame["accelerator"]) == {"compend", "dadiannao"}
    # What is given away is the caller's own.
    record.to_dict()["images"] = 7
    assert record.images == 1


def test_arrays_are_a_data_set_without_a_copy(network: skimp.Network) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, 1, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 40)
    data = skimp.arrays(images, labels)
    assert (len(data), list(data.shape)) == (40, [1, 28, 28])
    preprocess = "mean=0.5,std=0.25"
    found = network.evaluate(data=data, preprocess=preprocess)
    logits = network.run(((images / np.float32(255) - np.float32(0.5)) / np.float32(0.25)).astype(np.float32))
    assert found.correct == int((logits.argmax(1) == labels).sum())
    # The array itself is read: what changes in it changes what is seen.
    simulated = network.simulate(accelerator="cnvlutin", data=data, preprocess=preprocess).to_dict()
    images[:] = 0
    changed = network.simulate(accelerator="cnvlutin", data=data, preprocess=preprocess).to_dict()
    assert simulated["accelerators"][0]["total"]["cycles"] != changed["accelerators"][0]["total"]["cycles"]
    # It lives as long as it is read.
    alive = weakref.ref(images)
    del images
    gc.collect()
    assert alive() is not None
    network.evaluate(data=data, preprocess=preprocess)
    del data
    gc.collect()
    assert alive() is None


def test_data_sets_of_arrays_are_those_of_files(network: skimp.Network, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    images = rng.random((20, 1, 28, 28), dtype=np.float32)
    labels = rng.integers(0, 10, 20)
    labels[0] = 9
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", labels)
    of_file = network.evaluate(data=f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy", preprocess="raw").to_dict()
    held = network.evaluate(data=skimp.arrays(images[::-1][::-1], labels), preprocess="raw").to_dict()
    assert (held["correct"], held["data"]["sha256"]) == (of_file["correct"], of_file["data"]["sha256"])
