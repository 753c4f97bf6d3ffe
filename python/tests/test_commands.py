"""What the command line can, Python can, with the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skimp

Cli = Callable[..., Any]


def test_simulate_is_the_command_line(network: skimp.Network, cli: Cli) -> None:
    record = network.simulate(accelerator="compend", data="sample", images=1)
    assert record.to_dict() == cli("simulate", "sample-resnet", "--accelerator", "compend", "--data", "sample", "--images", "1")


def test_settings_are_those_of_the_command_line(network: skimp.Network, cli: Cli) -> None:
    words = ["--accelerator", "on=compend,off=compend,dadiannao", "--set", "off.end=false", "--set", "dadiannao.tiles=2"]
    expected = cli("simulate", "sample-resnet", *words, "--data", "sample", "--weight-bits", "6", "--costs", "paper")
    wanted = {"accelerator": ["on=compend", "off=compend", "dadiannao"], "weight_bits": np.int64(6), "costs": "paper"}
    for settings in (
        {"off": {"end": False}, "dadiannao.tiles": 2},
        ["off.end=false", "dadiannao.tiles=2"],
    ):
        assert network.simulate(data="sample", set=settings, **wanted).to_dict() == expected  # type: ignore[arg-type]


def test_inspect_and_lists_are_the_command_lines(network: skimp.Network, cli: Cli) -> None:
    assert network.inspect().to_dict() == cli("inspect", "sample-resnet")
    for what in ("accelerators", "datasets", "networks", "costs"):
        assert skimp.list(what).to_dict() == cli("list", what)
    assert skimp.settings("compend").to_dict() == cli("list", "settings", "compend")


@pytest.mark.parametrize("options", [{}, {"engine": "integer", "weight_bits": 4, "calibration": "percentile:99.9"}])
def test_evaluate_is_the_command_line(network: skimp.Network, cli: Cli, options: dict[str, Any]) -> None:
    found = network.evaluate(data="sample", images=50, **options).to_dict()
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    expected = cli("eval", "sample-resnet", "--data", "sample", "--images", "50", *words)
    for timing in ("seconds", "images_per_second", "images_per_s"):
        assert found.pop(timing) > 0 and expected.pop(timing) > 0
    assert found == expected


def test_run_is_the_command_line(network: skimp.Network, cli: Cli, tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(ValueError):  # it prints nothing
        cli("run", "sample-resnet", "--input", f"{tmp_path}/x.npy", "--output", f"{tmp_path}/y.npy")
    logits = network.run(images)
    np.testing.assert_array_equal(logits, np.load(tmp_path / "y.npy"))
    assert logits.dtype == np.float32 and logits.flags.writeable
    [name] = network.outputs
    [given] = network.inputs
    np.testing.assert_array_equal(network.run({given: images}, outputs=[name]), logits)
    # Strides, and numbers that are rounded.
    flipped = np.ascontiguousarray(images[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(network.run(flipped), logits)
    np.testing.assert_array_equal(network.run(images.astype(np.float64).tolist()), logits)
    # Sums in the order of the definition, and in fewer multiplications.
    cli_exact = ("--exact-order", "--output", f"{tmp_path}/exact.npy")
    with pytest.raises(ValueError):
        cli("run", "sample-resnet", "--input", f"{tmp_path}/x.npy", *cli_exact)
    exact = network.run(images, exact_order=True)
    np.testing.assert_array_equal(exact, np.load(tmp_path / "exact.npy"))
    assert np.abs(exact - logits).max() < 1e-4 * np.abs(exact).max()


def test_networks_are_saved_and_read(network: skimp.Network, tmp_path: Path) -> None:
    network.save(tmp_path / "copy.onnx")
    copy = skimp.load(tmp_path / "copy.onnx")
    assert (copy.name, copy.path) == ("copy", tmp_path / "copy.onnx")
    images = np.zeros((1, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(copy.run(images), network.run(images))
    assert "sample-resnet" in repr(network)


def test_reports_are_written(network: skimp.Network, tmp_path: Path) -> None:
    record = network.simulate(accelerator="compend", data="sample", report=tmp_path / "out")
    assert (tmp_path / "out" / "report.html").is_file()
    assert record.accelerators[0].label == "compend"


def test_studies_are_the_command_lines(cli: Cli, tmp_path: Path) -> None:
    record = skimp.study("sample", output=tmp_path / "python", accuracy_images=50)
    assert (tmp_path / "python" / "report.html").is_file()
    expected = cli("study", "sample", "--accuracy-images", "50", "-o", f"{tmp_path}/cli")
    found = record.to_dict()
    assert found.keys() == expected.keys()
    assert found["sections"]["simulation"] == expected["sections"]["simulation"]
    with pytest.raises(skimp.errors.UsageError, match="no embedded study of that name"):
        skimp.study("samples", output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for names of files and times."""
    for record in (found, expected):
        for timed in ("timing", "seconds", "created"):
            record.pop(timed, None)
    assert found == expected


def test_quantize_is_the_command_line(network: skimp.Network, cli: Cli, tmp_path: Path) -> None:
    int8, record = network.quantize(data="sample", layer_weight_bits={"conv*": 4}, accuracy_images=50)
    words = ["--data", "sample", "--layer-weight-bits", "conv*=4", "--accuracy-images", "50"]
    same(record.to_dict(), cli("quantize", "sample-resnet", *words, "-o", f"{tmp_path}/net8.onnx"))
    assert int8.sha256 == skimp.load(tmp_path / "net8.onnx").sha256 and int8.path is None
    assert int8.evaluate(data="sample", images=50).engine == "integer"
    assert record.accuracy is not None
    written, _ = network.quantize(data="sample", output=tmp_path / "mine.onnx", accuracy_images=0)
    assert written.path == tmp_path / "mine.onnx" and written.path.is_file()


def test_prune_is_the_command_line(network: skimp.Network, cli: Cli, tmp_path: Path) -> None:
    pruned, record = network.prune(method="l1", target="channels=0.5", round_to=1)
    words = ["--method", "l1", "--target", "channels=0.5", "--round-to", "1"]
    expected = cli("prune", "sample-resnet", *words, "-o", f"{tmp_path}/p.onnx")
    assert record.to_dict().keys() == expected.keys()
    assert pruned.sha256 == skimp.load(tmp_path / "p.onnx").sha256
    plan = network.plan_pruning(method="l1", target="channels=0.5", round_to=1)
    assert [group.to_dict() for group in plan.groups] == [group.to_dict() for group in record.groups]
    with pytest.raises(skimp.errors.SkimpError, match="did you mean|expected"):
        network.prune(method="l1", target="channel=0.5")


def test_train_is_the_command_line(cli: Cli, tmp_path: Path) -> None:
    network, record = skimp.train("sample-resnet", data="sample", epochs=1, images=64, learning_rate=0.05, validation="none")
    words = ["--data", "sample", "--epochs", "1", "--images", "64", "--lr", "0.05", "--validation", "none"]
    cli("train", "sample-resnet", *words, "-o", f"{tmp_path}/net.onnx")
    assert network.sha256 == skimp.load(tmp_path / "net.onnx").sha256
    assert record.config.epochs == 1


def test_what_makes_networks(network: skimp.Network) -> None:
    assert network.blocks().blocks
    recast, _ = network.recast(blocks=[1], into="conv", structure_only=True)
    assert recast.run(np.zeros((1, 1, 28, 28), np.float32)).shape == (1, 10)
    taught, record = skimp.distill(
        "sample-resnet", teacher="sample-resnet", data="sample", epochs=1, train_images=64, accuracy_images=20
    )
    assert record.to_dict()["schema"].startswith("skimp.distill/") and taught.outputs == network.outputs
    spiking, converted = network.convert_snn(data="sample", steps=8, accuracy_images=10, calibration_images=16)
    assert converted.points[-1].steps == 8 and spiking.evaluate(data="sample", images=4).time_steps == 8
    with pytest.raises(skimp.errors.UsageError, match="is not binary"):
        network.binarize()
    bits, _ = skimp.train("conv4-fc2", data="sample", epochs=1, images=8, quantizer="bnn", validation="none")
    packed, sizes = bits.binarize()
    [(_, (_, *extents))] = packed.inputs.values()
    assert packed.run(np.zeros((1, *extents), np.float32), engine="binary").shape == (1, 10)
    assert sizes.to_dict()["schema"].startswith("skimp.binarize/")


def test_the_rest_is_the_command_line(cli: Cli, tmp_path: Path) -> None:
    assert skimp.data("sample").to_dict() == cli("data", "sample")
    assert skimp.show("compend", kind="accelerator") == cli("show", "compend", "--kind", "accelerator")["toml"]
    support = skimp.support("sample-resnet").to_dict()
    # Designs that other tests have registered are asked, too.
    support["simulated"] = [design for design in support["simulated"] if design["design"] != "zero-skipper"]
    assert support == cli("inspect", "sample-resnet", "--support")
    skimp.study("sample", output=tmp_path, accuracy_images=20)
    assert skimp.report(tmp_path) == (tmp_path / "report.html").read_text()
    with pytest.raises(skimp.errors.SkimpError, match="no-such-folder"):
        skimp.report("no-such-folder")
