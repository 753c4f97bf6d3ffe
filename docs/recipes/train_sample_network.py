"""Train the embedded network on Fashion-MNIST and write it as ONNX.

    python train_sample_network.py FASHION_MNIST_DIR SAMPLE_DIR OUT.onnx

Trains on the 60,000 training images; the test split takes no part in training or in choosing anything. At the end
the ONNX file is run with onnxruntime on the 1,000 test images of SAMPLE_DIR and, for information, on all 10,000.

The ONNX graph is built node by node, so that each batch normalization stays a node of its own and every node has a
name that says what it is.
"""

import pathlib
import random
import sys
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from make_sample import read_idx

SEED = 2026
EPOCHS = 8
BATCH = 128
PEAK_RATE = 0.1
WEIGHT_DECAY = 5e-4
# Mean and standard deviation of the training images on the 0..1 scale, four digits.
MEAN, STD = 0.2860, 0.3530
# name, input channels, output channels, stride; each is a 3x3 convolution with padding 1 followed by `bn`.
CONVS = [
    ("conv1", 1, 16, 1),
    ("conv2", 16, 32, 1),
    ("block1_conv1", 32, 32, 1),
    ("block1_conv2", 32, 32, 1),
    ("conv3", 32, 48, 2),
    ("block2_conv1", 48, 48, 1),
    ("block2_conv2", 48, 48, 1),
]
N_CLASSES = 10


def bn_name(conv: str) -> str:
    """`conv1` → `bn1`, `block1_conv2` → `block1_bn2`."""
    return conv.replace("conv", "bn")


class SampleResNet(nn.Module):
    """conv1, 2x2 max pool, conv2, residual block, conv3 with stride 2, residual block, global average, dense."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict()
        for name, c, k, stride in CONVS:
            self.layers[name] = nn.Conv2d(c, k, 3, stride, 1, bias=False)
            self.layers[bn_name(name)] = nn.BatchNorm2d(k)
        self.fc = nn.Linear(CONVS[-1][2], N_CLASSES)

    def conv_bn(self, name, x):
        return self.layers[bn_name(name)](self.layers[name](x))

    def block(self, name, x):
        inner = F.relu(self.conv_bn(f"{name}_conv1", x))
        return F.relu(self.conv_bn(f"{name}_conv2", inner) + x)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv_bn("conv1", x)), 2)
        x = self.block("block1", F.relu(self.conv_bn("conv2", x)))
        x = self.block("block2", F.relu(self.conv_bn("conv3", x)))
        return self.fc(x.mean(dim=(2, 3)))


def normalize(images: np.ndarray) -> np.ndarray:
    """The preprocessing named `sample`: (p / 255 − mean) / std, every step in f32."""
    x = images.astype(np.float32) / np.float32(255)
    return ((x - np.float32(MEAN)) / np.float32(STD))[:, None]


def augment(x: torch.Tensor) -> torch.Tensor:
    """Mirrors each image with probability one half and shifts the batch by up to two pixels each way."""
    mirror = (torch.rand(len(x)) < 0.5)[:, None, None, None]
    x = torch.where(mirror, x.flip(3), x)
    padded = F.pad(x, (2, 2, 2, 2), value=-MEAN / STD)
    dy, dx = torch.randint(0, 5, (2,)).tolist()
    return padded[:, :, dy : dy + 28, dx : dx + 28]


def train(images: torch.Tensor, labels: torch.Tensor) -> SampleResNet:
    net = SampleResNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=PEAK_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True)
    n_steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, epochs=EPOCHS, steps_per_epoch=n_steps)
    for epoch in range(EPOCHS):
        net.train()
        start, total = time.time(), 0.0
        order = torch.randperm(len(images))
        for step in range(n_steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            loss = F.cross_entropy(net(augment(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / n_steps:.4f}, {time.time() - start:.0f} s", flush=True)
    return net.eval()


def to_onnx(net: SampleResNet) -> onnx.ModelProto:
    nodes, tensors = [], []

    def tensor(name, value):
        tensors.append(numpy_helper.from_array(value.detach().numpy().astype(np.float32), name))
        return name

    def node(op, name, inputs, **attributes):
        output = "logits" if name == "fc" else f"{name}_out"
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    strides = {name: stride for name, _, _, stride in CONVS}

    def conv_bn(name, x):
        conv, bn = net.layers[name], net.layers[bn_name(name)]
        x = node("Conv", name, [x, tensor(f"{name}.weight", conv.weight)], kernel_shape=[3, 3],
                 pads=[1, 1, 1, 1], strides=[strides[name]] * 2, dilations=[1, 1], group=1)
        parts = [("scale", bn.weight), ("bias", bn.bias), ("mean", bn.running_mean), ("var", bn.running_var)]
        inputs = [x] + [tensor(f"{bn_name(name)}.{part}", value) for part, value in parts]
        return node("BatchNormalization", bn_name(name), inputs, epsilon=bn.eps)

    def block(name, x):
        inner = node("Relu", f"{name}_relu1", [conv_bn(f"{name}_conv1", x)])
        joined = node("Add", f"{name}_add", [conv_bn(f"{name}_conv2", inner), x])
        return node("Relu", f"{name}_relu2", [joined])

    x = node("Relu", "relu1", [conv_bn("conv1", "input")])
    x = node("MaxPool", "pool1", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = block("block1", node("Relu", "relu2", [conv_bn("conv2", x)]))
    x = block("block2", node("Relu", "relu3", [conv_bn("conv3", x)]))
    x = node("Flatten", "flatten", [node("GlobalAveragePool", "global_pool", [x])], axis=1)
    node("Gemm", "fc", [x, tensor("fc.weight", net.fc.weight), tensor("fc.bias", net.fc.bias)], transB=1)

    graph = helper.make_graph(
        nodes, "sample-resnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", N_CLASSES])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7,
                              producer_name="skimp train_sample_network.py")
    helper.set_model_props(model, {"preprocess": "sample", "classes": str(N_CLASSES)})
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(path: str, images: np.ndarray, labels: np.ndarray) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"input": normalize(images[i : i + 250])})[0] for i in range(0, len(images), 250)]
    return float((np.concatenate(parts).argmax(1) == labels).mean())


def main() -> None:
    data, sample, target = sys.argv[1:4]
    data, sample = pathlib.Path(data), pathlib.Path(sample)
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    images = torch.from_numpy(normalize(read_idx(data / "train-images-idx3-ubyte")))
    labels = torch.from_numpy(read_idx(data / "train-labels-idx1-ubyte").astype(np.int64))
    net = train(images, labels)
    onnx.save(to_onnx(net), target)
    print(f"{target}: {pathlib.Path(target).stat().st_size} bytes")
    for name, folder, split in (("sample test", sample, "t10k"), ("sample train", sample, "train"),
                                ("full test", data, "t10k")):
        test_images, test_labels = (read_idx(folder / f"{split}-{p}-ubyte") for p in ("images-idx3", "labels-idx1"))
        print(f"{name}: top-1 {accuracy(target, test_images, test_labels):.4f} of {len(test_labels)} images")


if __name__ == "__main__":
    main()
