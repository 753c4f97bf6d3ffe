"""The table of exported networks as a page of docs/."""

import importlib.metadata
import pathlib
import re

import networks

TOLERANCE = 1e-4

HEAD = """\
# Networks that exporters write

`cargo xtask exported-networks` makes {n_networks} networks of torchvision, timm and keras with drawn weights, writes each by two
exporters, with a batch of 1 and with a free one, runs every file by skimp and by onnxruntime {ort} on the same drawn input (3 images
where the batch is free), and writes this page. Nothing of it is kept in the repository.

Exporters: torch's `torch.onnx.export` with `dynamo=True` and with `dynamo=False` ("torchscript"); keras' own `Model.export` on
torch ("keras-torch") and on TensorFlow, which is tf2onnx. Versions: {versions}.

- **fixed**, **free**: the greatest difference of an output to onnxruntime's (without its graph optimizations) over its largest
  element, `max |a - b| / max |b|`. Inputs are drawn from a normal distribution, weights by the packages' own
  initialization with seed 1; parameters and statistics that start out as one number have 0.1 times a normal number added.
- **MACs**: of one image, as `skimp inspect` counts them ([onnx.md](onnx.md) says how a batched MatMul counts).
- **simulated**: the share of them that `skimp simulate --accelerator eyeriss,systolic` covers, on both designs, for one file of
  a network: the first one with a free batch. What is left out is listed below the table.
- **integer**: the share of them that runs in integers after `skimp quantize` of the same file; onnxruntime loads the result.

"No file" means that the exporter failed, or that onnxruntime refuses what it wrote; the reasons stand below the table. Empty cells
were not tried.

"""


def outcome(record):
    """What the cell of a file says."""
    if record is None:
        return ""
    if "difference" in record:
        worst = record["difference"]
        return f"{worst:.1e}" if worst < TOLERANCE else f"**{worst:.1e}**"
    return "no file" if "export_error" in record else "**refused**"


def line(record):
    """One line for the terminal."""
    words = [record["key"], record["exporter"], record["batch"], outcome(record)]
    for key in ("simulate", "quantize"):
        if key in record:
            words.append(f"{key} {record[key]['percent']:.1f}%")
    words += [f"{key}: {value}" for key, value in record.items() if key.endswith("_error")]
    return "  ".join(words)


def share(record, key):
    if record is None or "inspect" not in record:
        return ""
    if key not in record:
        return "no" if f"{key}_error" in record else ""
    return f"{record[key]['percent']:.1f}%".replace("100.0%", "100%")


def millions(record):
    if record is None or "inspect" not in record:
        return ""
    return f"{record['inspect']['macs'] / 1e6:.1f} M"


def text(results):
    """The page."""
    rows, notes, left_out = [], [], {}
    n_tried, n_imported, n_sound = 0, 0, 0
    for entry in networks.NETWORKS:
        files = []
        for exporter in networks.EXPORTERS[entry.source]:
            records = {batch: results.get((entry.key, exporter, batch)) for batch in networks.BATCHES}
            present = [record for record in records.values() if record is not None and "export_error" not in record]
            files += present
            best = next((record for record in present if "simulate" in record), present[-1] if present else None)
            cells = [entry.key, exporter, *map(outcome, records.values()), millions(best), share(best, "simulate"), share(best, "quantize")]
            rows.append(f"| {' | '.join(cells)} |")
            for batch, record in records.items():
                reasons(record, f"{entry.key}, {exporter}, {batch} batch", notes)
            for key, (n, macs) in (best or {}).get("simulate", {}).get("left_out", {}).items():
                left_out.setdefault(key, []).append((entry.key, exporter, n, macs, best["simulate"]["network_macs"]))
        differences = [record.get("difference") for record in files]
        n_tried += bool(files)
        n_imported += bool(files) and None not in differences
        n_sound += bool(files) and all(worst is not None and worst < TOLERANCE for worst in differences)
    files = [record for record in results.values() if "export_error" not in record]
    fine = [record for record in files if "difference" in record]
    same = [record for record in fine if record["difference"] < TOLERANCE]
    page = HEAD.format(n_networks=len(networks.NETWORKS), ort=version("onnxruntime"), versions=versions())
    worst = max((record["difference"] for record in fine), default=0.0)
    page += (
        f"Exporters wrote {len(files)} files of {n_tried} networks. {len(fine)} files are imported and run, {len(same)} of them within "
        f"{TOLERANCE:.0e} of onnxruntime (the largest difference is {worst:.1e}); of {n_imported} networks every file is imported, of "
        f"{n_sound} every file gives the same answers.\n\n"
    )
    page += "| network | exporter | fixed | free | MACs | simulated | integer |\n|---|---|---|---|---|---|---|\n"
    page += "\n".join(rows) + "\n\n"
    page += "## What is missing\n\n" + ("\n".join(notes) or "Nothing.") + "\n\n"
    page += "## What simulation leaves out\n\n"
    for key, places in sorted(left_out.items()):
        page += f"- {key}: " + "; ".join(
            f"{network} ({exporter}) {n} layers, {100 * macs / max(whole, 1):.1f}%" for network, exporter, n, macs, whole in places
        ) + "\n"
    return page if left_out else page + "Nothing.\n"


def reasons(record, name, notes):
    """Adds why something of a file is missing."""
    what = {"export_error": "no file", "difference_error": "not run", "inspect_error": "not inspected",
            "simulate_error": "not simulated", "quantize_error": "not quantized"}
    for key, word in what.items():
        if record is not None and key in record:
            # Without where it happened on this machine.
            reason = re.sub(r"(?<![\"\w])/(?:[\w.-]+/)+", "", record[key])
            notes.append(f"- {name}, {word}: {reason[:240]}")


def version(package):
    return importlib.metadata.version(package)


def versions():
    here = pathlib.Path(__file__).parent.parent
    pins = set()
    for name in ("exported_networks.txt", "exported_networks_keras.txt"):
        pins |= {line.replace("==", " ") for line in (here / name).read_text().split("\n") if "==" in line}
    return ", ".join(sorted(pins))
