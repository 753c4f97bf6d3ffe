"""Accelerators written in Python take part like embedded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skimp
from skimp import accelerator as own
from skimp import errors


class ZeroSkipper(skimp.Accelerator):
    """An output-stationary array that skips activations of 0."""

    name = "zero-skipper"
    preset = (
        "schema = 1\n"
        "rows = 8        # windows at once [1 to 1024]\n"
        "columns = 16    # filters at once [1 to 1024]\n"
        "skip = true     # whether zeros are skipped\n"
    )
    phases = {"compute": "Cycles of the fullest row of each tile.", "drain": "Sums leave the array."}
    counters = {"buffer_reads": ("operands", "Operands read from the buffer.")}

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.rows, self.columns = settings["rows"], settings["columns"]
        self.peak_gmacs = self.rows * self.columns * self.clock_mhz * 1e-3
        self.reads = ("activation",) if settings["skip"] else ()
        self.exploits = ["zero activations"] if settings["skip"] else []

    def simulate_layer(self, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
        depth = layer.dense_macs // (layer.k * layer.p * layer.q)
        if self.settings["skip"]:
            windows = layer.windows(trace.activation)
            taken = np.count_nonzero(windows, axis=(3, 4, 5)).reshape(layer.groups, -1)
        else:
            taken = np.full((layer.groups, layer.p * layer.q), depth)
        filters = layer.k // layer.groups
        passes = -(-filters // self.columns)
        pad = -taken.shape[1] % self.rows
        tiles = np.pad(taken, ((0, 0), (0, pad))).reshape(layer.groups, -1, self.rows)
        compute = int(tiles.max(axis=2).sum()) * passes
        executed = int(taken.sum()) * filters
        return skimp.LayerResult(
            cycles={"compute": compute, "drain": taken.size * passes},
            events={
                "executed_macs": executed,
                "skipped_macs": layer.dense_macs - executed,
                "buffer_reads": np.int64(taken.sum()) + compute * self.columns,
            },
            operations=[
                own.multiply_adds(executed, bits=16),
                own.buffer_accesses(compute, bytes=64 << 10, bits=16),
                own.off_chip_bits(layer.compulsory_bits),
            ],
            notes=["counted in Python"],
        )


def test_a_design_takes_part(network: skimp.Network, tmp_path: Path) -> None:
    record = network.simulate(
        accelerator={"own": ZeroSkipper, "dense": ZeroSkipper, "other": "cnvlutin"},
        set={"dense": {"skip": False}},
        data="sample",
        images=2,
        report=tmp_path,
    )
    mine, dense, other = record.accelerators
    assert [design.label for design in record.accelerators] == ["own", "dense", "other"]
    assert (mine.name, mine.config["rows"], dense.config["skip"]) == ("zero-skipper", 8, False)
    assert mine.total.cycles < dense.total.cycles and mine.total.energy_mj < dense.total.energy_mj
    events = [layer.events for layer in mine.layers]
    assert all(event["executed_macs"] > 0 for event in events)
    # Whatever skips zero activations finds the same zeros.
    macs = [layer.macs for layer in mine.layers]
    assert macs == [layer.macs for layer in other.layers]
    # Events are sums over the images, MACs are of one.
    assert [event["executed_macs"] + event["skipped_macs"] for event in events] == [2 * each for each in macs]
    report = (tmp_path / "report.html").read_text()
    assert "zero-skipper" in report and "counted in Python" in report


def test_counts_are_those_of_the_codes(network: skimp.Network) -> None:
    seen: dict[str, np.ndarray[Any, np.dtype[np.int32]]] = {}

    class Seer(skimp.Accelerator):
        name = "seer"
        reads = ("weights", "activation", "output_sums", "bias", "residual")

        def simulate_layer(self, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
            assert layer.weights is not None
            windows = layer.windows(trace.activation).astype(np.int64)
            weights = layer.weights.reshape(layer.groups, layer.k // layer.groups, *layer.weights.shape[1:])
            sums = np.einsum("gpqcrs,gkcrs->gkpq", windows, weights).reshape(layer.k, layer.p, layer.q)
            starts = trace.bias[:, None, None] + (0 if trace.residual is None else trace.residual)
            np.testing.assert_array_equal(sums + starts, trace.output_sums)
            for view in (layer.weights, trace.activation, trace.output_sums):
                assert not view.flags.owndata and not view.flags.writeable
            seen[layer.name] = trace.activation
            return skimp.LayerResult({"compute": 1}, operations=[own.off_chip_bits(1)])

    record = network.simulate(accelerator=Seer, data="sample")
    assert list(seen) == [layer.name for layer in record.accelerators[0].layers]
    # Views live longer than the run.
    assert all(int(np.abs(codes).max()) > 0 for codes in seen.values())


def broken(**attributes: Any) -> type[skimp.Accelerator]:
    return type("Broken", (skimp.Accelerator,), {"name": "broken", **attributes})


def returning(result: Any) -> type[skimp.Accelerator]:
    return broken(simulate_layer=lambda self, layer, trace: result)


def raising(self: skimp.Accelerator, layer: skimp.Layer, trace: skimp.Trace) -> skimp.LayerResult:
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("design", "text"),
    [
        (broken(), "NotImplementedError"),
        (broken(simulate_layer=raising), "KeyError: 'lost'"),
        (returning(None), "returns NoneType, expected skimp.LayerResult"),
        (returning(skimp.LayerResult({"compute": -1})), 'cycles "compute" is -1, expected a whole number'),
        (returning(skimp.LayerResult({"compute": 1.5})), 'cycles "compute" is 1.5'),  # type: ignore[dict-item]
        (returning(skimp.LayerResult({"computing": 1})), 'returns "computing", which its phases do not name'),
        (returning(skimp.LayerResult({})), "0 cycles for "),
        (returning(skimp.LayerResult({"compute": 1}, {"executed_macs": 1 << 50})), "executed and skipped MACs are"),
        (returning(skimp.LayerResult({"compute": 1}, activity=[("a", "b", "c", 1)])), 'no scope "b"'),
        (returning(skimp.LayerResult({"compute": 1}, operations=[("a", "b", 1, 1, 1)])), 'no operation "a"'),
        (broken(simulate_layer=lambda self, layer, trace: trace.bias), "asks for the trace bias"),
    ],
)
def test_what_a_design_does_wrong_is_named(network: skimp.Network, design: type[skimp.Accelerator], text: str) -> None:
    with pytest.raises(errors.SimError) as raised:
        network.simulate(accelerator=design, data="sample")
    message = str(raised.value)
    assert text in message and message.startswith('layer "') and "broken" in message
    assert raised.value.__cause__ is not None


def test_python_errors_keep_their_traceback(network: skimp.Network) -> None:
    with pytest.raises(errors.SimError) as raised:
        network.simulate(accelerator=broken(simulate_layer=raising), data="sample")
    cause = raised.value.__cause__
    assert isinstance(cause, KeyError)
    frames = []
    traceback = cause.__traceback__
    while traceback:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert frames[-1] == "raising"


@pytest.mark.parametrize(
    ("design", "text"),
    [
        (broken(name="compend"), "embedded accelerator"),
        (broken(name="two words"), "expected letters, digits and dashes"),
        (broken(phases={}), "no phases"),
        (broken(reads=("values",)), 'reads "values", expected some of: weights'),
        (broken(clock_mhz=0.0), "clock_mhz is 0"),
        (broken(costs="none"), "none"),
        (broken(preset="rows = "), "preset"),
    ],
)
def test_designs_that_cannot_be_are_refused(network: skimp.Network, design: type[skimp.Accelerator], text: str) -> None:
    with pytest.raises(errors.SkimpError, match=text):
        network.simulate(accelerator=design, data="sample")


def test_what_is_registered_can_be_had(network: skimp.Network) -> None:
    with pytest.raises(errors.SimError, match="broken: .*clock_mhz is 0"):
        skimp.register(broken(clock_mhz=0.0))
    with pytest.raises(errors.SimError, match="unknown accelerator"):
        network.simulate(accelerator="broken", data="sample")


def test_settings_are_checked_by_the_preset(network: skimp.Network) -> None:
    with pytest.raises(errors.SimError, match="rows.*1 to 1024"):
        network.simulate(accelerator=ZeroSkipper, set={"zero-skipper": {"rows": 0}}, data="sample")
    with pytest.raises(errors.SimError, match='did you mean "rows"'):
        network.simulate(accelerator=ZeroSkipper, set={"zero-skipper": {"row": 1}}, data="sample")


def test_a_design_takes_part_in_studies(tmp_path: Path) -> None:
    assert skimp.register(ZeroSkipper) is ZeroSkipper
    file = tmp_path / "study.toml"
    file.write_text(
        'schema = 1\nname = "mine"\ntitle = "Mine"\nsummary = "Mine"\n\n[network]\nmodel = "sample-resnet"\n\n[data]\nset = "sample"\n\n'
        '[[accelerators]]\nmodel = "zero-skipper"\n\n[[accelerators]]\nmodel = "dadiannao"\n'
    )
    record = skimp.study(file, output=tmp_path / "out")
    assert "zero-skipper" in (tmp_path / "out" / "report.html").read_text()
    assert "zero-skipper" in str(record)
