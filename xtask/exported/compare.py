"""Exports networks and runs each file by skimp and by onnxruntime: compare.py SKIMP FOLDER DOCUMENT PYTHON KERAS_PYTHON [FILTER].

What was found is kept in FOLDER/results.jsonl, a line a file, so that a later call only does what is missing; with FILTER it
does again those whose KEY EXPORTER holds it. DOCUMENT is the table of all results. Exported files go as soon as they have run,
unless SKIMP_KEEP_EXPORTS is set: then they stay, and are not written again. `cargo xtask exported-networks` calls it.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import onnxruntime

import document
import networks

HERE = pathlib.Path(__file__).parent
# Seconds that a command may take.
PATIENCE = 600
# Images of a run; a file with a free batch gets another number than it was exported with.
IMAGES = {"fixed": 1, "free": 3}
STEPS = ["run", "simulate", "quantize"]


def export(python, entry, exporter, folder):
    """Writes the files of one network where they are missing; folder/BATCH.err says why one is not there."""
    missing = [batch for batch in networks.BATCHES if not any((folder / f"{batch}.{end}").exists() for end in ("onnx", "err"))]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, str(HERE / "export.py"), entry.key, exporter, str(folder)]
    try:
        log = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
        (folder / "export.log").write_text(log.stdout + log.stderr)
        reason = f"exit code {log.returncode}: {log.stderr.strip().splitlines()[-1:]}"
    except subprocess.TimeoutExpired:
        reason = f"not done within {2 * PATIENCE} s"
    for batch in networks.BATCHES:
        if not any((folder / f"{batch}.{end}").exists() for end in ("onnx", "err")):
            (folder / f"{batch}.err").write_text(reason)


def expected(path, images):
    """Inputs and onnxruntime's answers to them, without its own rewrites. Some exporters make inputs of what a network scales
    its images by: these are positive."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng, drawn = np.random.default_rng(1), {}
    for given in session.get_inputs():
        shape = [extent if isinstance(extent, int) else images for extent in given.shape]
        numbers = rng.uniform(0.5, 1.5, shape) if drawn else rng.standard_normal(shape)
        drawn[given.name] = numbers.astype(np.float32)
    return drawn, session.run(None, drawn)


def run(skimp, *words):
    """Standard output of a command, or RuntimeError with its error."""
    try:
        done = subprocess.run([skimp, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not done within {PATIENCE} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
        raise RuntimeError((lines or [f"exit code {done.returncode}: {done.stderr[-200:]}"])[0].removeprefix("error: "))
    return done.stdout


def difference(folder, wanted):
    """max |got - want| / max |want|, the largest of all outputs."""
    worst = 0.0
    for idx, want in enumerate(wanted):
        got = np.load(folder / ("y.npy" if idx == 0 else f"y.{idx}.npy")).astype(np.float64)
        if got.shape != want.shape:
            raise RuntimeError(f"output {idx} has shape {got.shape}, expected {want.shape}")
        largest = max(float(np.abs(want).max()), 1e-30)
        worst = max(worst, float(np.abs(got - want.astype(np.float64)).max()) / largest)
    return worst


def attempt(record, key, action):
    """Keeps what `action` gives under `key`, or its error under KEY_error; whether it went well."""
    begin = time.time()
    try:
        record[key] = action()
    except Exception as error:
        record[f"{key}_error"] = str(error).split("\n")[0][:400]
    record.setdefault("seconds", {})[key] = round(time.time() - begin, 1)
    return key in record


def compared(skimp, path, images, folder):
    drawn, wanted = expected(path, images)
    words = []
    for idx, (name, array) in enumerate(drawn.items()):
        np.save(folder / f"x{idx}.npy", array)
        words += ["--input", f"{name}={folder}/x{idx}.npy"]
    run(skimp, "run", path, *words, "-o", folder / "y.npy", "--force")
    return difference(folder, [np.asarray(want) for want in wanted])


def inspected(skimp, path):
    total = json.loads(run(skimp, "inspect", path, "--format", "json"))["total"]
    return {"macs": total["macs"], "parameters": total["parameters"]}


def images_of(path, folder):
    """Two images for the network as a data set."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = [2, *session.get_inputs()[0].shape[1:]]
    np.save(folder / "images.npy", np.random.default_rng(2).standard_normal(shape).astype(np.float32))
    np.save(folder / "labels.npy", np.zeros(2, np.int64))
    return f"npy:{folder}/images.npy,{folder}/labels.npy"


def simulated(skimp, path, folder):
    data = images_of(path, folder)
    words = ["--accelerator", "eyeriss,systolic", "--data", data, "--images", 1, "--calibration-images", 2]
    record = json.loads(run(skimp, "simulate", path, *words, "--format", "json"))
    covers = record["simulated"]
    left_out = {}
    for layer in covers["left_out"]:
        key = f"{layer['operator']}: {layer['reason']}"
        n, macs = left_out.get(key, (0, 0))
        left_out[key] = (n + 1, macs + layer["macs"])
    designs = {design["label"]: design["total"].get("simulated_percent") for design in record["accelerators"]}
    return {"percent": covers["percent"], "network_macs": covers["network_macs"], "left_out": left_out, "designs": designs}


def quantized(skimp, path, folder):
    data = images_of(path, folder)
    words = ["--data", data, "--calibration-images", 2, "--accuracy-images", 0, "--force", "-o", folder / "q.onnx"]
    record = json.loads(run(skimp, "quantize", path, *words, "--format", "json"))
    onnxruntime.InferenceSession(str(folder / "q.onnx"), providers=["CPUExecutionProvider"])
    return {"percent": record["in_integers"]["percent"]}


def tried(skimp, record, step, path, folder):
    """Does one step of what is found about one file."""
    if not path.exists():
        record["export_error"] = path.with_suffix(".err").read_text()[:400]
        return
    if step == "run":
        try:
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            record["export_error"] = f"onnxruntime refuses the file: {error}"[:400]
            return
        record["bytes"] = path.stat().st_size
        attempt(record, "difference", lambda: compared(skimp, path, IMAGES[record["batch"]], folder))
        attempt(record, "inspect", lambda: inspected(skimp, path))
    else:
        attempt(record, step, lambda: {"simulate": simulated, "quantize": quantized}[step](skimp, path, folder))


def is_done(record, step):
    """Whether a step was tried already."""
    key = "difference" if step == "run" else step
    return any(name in record for name in (key, f"{key}_error", "export_error"))


def network_steps(tools, entry, steps, results, wanted):
    """Does what is missing of the steps for one network; gives the record of each file that changed. Simulated and quantized is
    one file of a network: the first one with a free batch, or else the first."""
    skimp, python, folder = tools
    chosen = None
    for step in steps:
        for exporter in networks.EXPORTERS[entry.source]:
            place = folder / entry.key / exporter
            for batch in networks.BATCHES[::-1]:
                key = (entry.key, exporter, batch)
                record = results.get(key, {"key": entry.key, "exporter": exporter, "batch": batch, "size": entry.size})
                if step != "run":
                    if chosen is None and "inspect" in record:
                        chosen = key
                    if chosen != key:
                        continue
                if is_done(record, step) or (wanted and wanted not in f"{entry.key} {exporter}"):
                    continue
                export(python, entry, exporter, place)
                tried(skimp, record, step, place / f"{batch}.onnx", place)
                results[key] = record
                yield record


def main():
    skimp, folder, target, python, keras_python = sys.argv[1:6]
    wanted = sys.argv[6] if len(sys.argv) > 6 else ""
    onnxruntime.set_default_logger_severity(4)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "results.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    results = {(record["key"], record["exporter"], record["batch"]): record for record in map(json.loads, lines)}
    if wanted:
        results = {key: record for key, record in results.items() if wanted not in f"{key[0]} {key[1]}"}
    keep = "SKIMP_KEEP_EXPORTS" in os.environ
    # Kept files can be gone through again: what takes long comes last.
    for steps in [["run"], ["simulate"], ["quantize"]] if keep else [STEPS]:
        for entry in networks.NETWORKS:
            pythons = keras_python if entry.source == "keras" else python
            for change in network_steps((skimp, pythons, folder), entry, steps, results, wanted):
                with kept.open("a") as file:
                    file.write(json.dumps(change) + "\n")
                print(document.line(change), flush=True)
            if not keep:
                shutil.rmtree(folder / entry.key, ignore_errors=True)
    pathlib.Path(target).write_text(document.text(results))


if __name__ == "__main__":
    main()
