"""Writes one network as ONNX: export.py KEY EXPORTER FOLDER. A file for each kind of batch, FIXED.onnx and FREE.onnx, or FIXED.err with
the reason why there is none."""

import os
import pathlib
import re
import sys
import traceback
import warnings

import networks

warnings.filterwarnings("ignore")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def torch_network(entry):
    """The network in inference mode. Parameters and statistics that start out as one number are drawn around it: networks as
    they are made multiply branches and whole answers by 0."""
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(1)
    settings = dict(entry.settings)
    if entry.source == "timm":
        import timm

        network = timm.create_model(entry.name, pretrained=False, **settings)
    else:
        import torchvision

        if entry.name == "vit":
            network = torchvision.models.VisionTransformer(**settings)
        else:
            network = torchvision.models.get_model(entry.name, weights=None, **extra(entry.name), **settings)
    network.eval()
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
                tensor.add_(0.1 * torch.randn_like(tensor))
    if "segmentation" in type(network).__module__:
        network = Answers(network)
    return network


def extra(name):
    """Networks for segmentation fetch the weights of their first part unless told not to."""
    return {"weights_backbone": None} if name.startswith(("deeplab", "lraspp")) else {}


def Answers(network):
    """The first answer of a network that gives a dictionary."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)["out"]

    return Module().eval()


def torch_export(entry, network, exporter, batch, path):
    import torch

    shape = [networks.EXAMPLE[batch], 3, entry.size, entry.size]
    if entry.name == "mc3_18":
        shape.insert(2, 8)
    example = torch.randn(shape)
    options = {"input_names": ["x"], "output_names": ["y"]}
    if exporter == "dynamo":
        if batch == "free":
            options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(network, (example,), str(path), dynamo=True, external_data=False, verbose=False, **options)
    else:
        if batch == "free":
            options["dynamic_axes"] = {"x": {0: "batch"}, "y": {0: "batch"}}
        torch.onnx.export(network, (example,), str(path), dynamo=False, **options)


def keras_network(entry, exporter, batch):
    os.environ["KERAS_BACKEND"] = "torch" if exporter == "keras-torch" else "tensorflow"
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    keras.backend.set_image_data_format("channels_last")
    shape = (entry.size, entry.size, 3)
    inputs = keras.Input(shape, batch_size=1 if batch == "fixed" else None, name="x")
    network = getattr(keras.applications, entry.name)(weights=None, input_tensor=inputs)
    rng = np.random.default_rng(1)
    for weight in network.weights:
        value = np.asarray(keras.ops.convert_to_numpy(weight))
        if value.dtype == np.float32 and value.size > 1 and (value == value.flat[0]).all():
            weight.assign(value + 0.1 * rng.standard_normal(value.shape).astype(np.float32))
    # What was never called is not exported.
    network(np.zeros((1, *shape), np.float32))
    return network


def keras_export(entry, exporter, batch, path):
    network = keras_network(entry, exporter, batch)
    network.export(str(path), format="onnx", verbose=False)


def main():
    key, exporter, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    entry = next(entry for entry in networks.NETWORKS if entry.key == key)
    network = None
    for batch in networks.BATCHES:
        path = folder / f"{batch}.onnx"
        try:
            if entry.source == "keras":
                keras_export(entry, exporter, batch, path)
            else:
                network = network or torch_network(entry)
                torch_export(entry, network, exporter, batch, path)
        except Exception as error:
            path.unlink(missing_ok=True)
            # Without what colors a terminal.
            text = re.sub("\x1b\\[[0-9;]*m", "", f"{type(error).__name__}: {error}".strip().replace("\n", " "))
            (folder / f"{batch}.err").write_text(text)
            traceback.print_exc()


main()
