"""Errors have classes, and the texts of the command line."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import skimp
from skimp import errors


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda net: skimp.load("no-such-network"), errors.UsageError, "no such file, and no network of that name"),
        (lambda net: skimp.list("accelerator"), errors.UsageError, 'list "accelerator", expected one of: accelerators'),
        (lambda net: net.evaluate(), errors.UsageError, "a network needs --data NAME[:DIR]"),
        (lambda net: net.evaluate(data="samples"), errors.DataError, "sample"),
        (lambda net: net.evaluate(data="sample", split="tests"), errors.UsageError, "one of: test, train"),
        (lambda net: net.evaluate(data="sample", weight_bits=17), ValueError, "weight_bits is 17, expected 2 to 16"),
        (lambda net: net.evaluate(data="sample", weight_bits="many"), errors.UsageError, "weight_bits: invalid digit"),
        (lambda net: net.evaluate(data="sample", images="many"), TypeError, "images: "),
        (lambda net: net.evaluate(data="sample", limit=3), TypeError, "unexpected keyword argument 'limit'"),
        (lambda net: net.simulate(accelerator="compent", data="sample"), errors.SimError, 'did you mean "compend"?'),
        (
            lambda net: net.simulate(accelerator="compend", data="sample", set={"compend": {"ends": True}}),
            errors.SimError,
            "unknown setting",
        ),
        (lambda net: net.run(np.zeros((1, 1, 28), np.float32)), errors.GraphError, "input"),
        (lambda net: net.run(np.zeros((1, 1, 28, 28), np.complex64)), errors.InputError, "an array of complex64"),
        (lambda net: net.run({"y": np.zeros(1)}), errors.UsageError, "expected: "),
        (lambda net: net.run(np.zeros((1, 1, 28, 28)), outputs="z"), errors.UsageError, 'no output "z"'),
        (lambda net: net.save("/no/such/folder/net.onnx"), errors.SkimpError, "/no/such/folder"),
        (lambda net: skimp.arrays(np.zeros((2, 1, 4, 4)), [0, 1]), errors.InputError, "float64"),
        (lambda net: skimp.arrays(np.zeros((2, 1, 4, 4), np.uint8), [0]), errors.DataError, "labels"),
        (lambda net: skimp.arrays(np.zeros((1, 1, 4, 4), np.uint8), [-1]), errors.InputError, "-1"),
    ],
)
def test_errors_have_classes_and_texts(
    network: skimp.Network, call: Callable[[Any], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as raised:
        call(network)
    assert text in str(raised.value)
    assert isinstance(raised.value, (errors.SkimpError, TypeError))


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_an_interrupt_ends_a_run(network: skimp.Network, engine: Literal["cpu", "reference"]) -> None:
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        # Far more work than the time that the test waits.
        for _ in range(1000):
            network.evaluate(data="sample", engine=engine)
    timer.join()


def test_other_threads_go_on_meanwhile(network: skimp.Network) -> None:
    turns = 0
    done = threading.Event()

    def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    network.evaluate(data="sample")
    done.set()
    thread.join()
    assert turns > 1
