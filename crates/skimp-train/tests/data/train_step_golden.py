"""Two training steps of PyTorch on a small network: the expected values of tests/it/pytorch.rs.

python train_step_golden.py    (writes train_step_golden.txt beside itself; PyTorch 2.15, CPU)

The network has a residual block, a strided and a depthwise convolution, batch norms, both pools and a dense layer; the
loss is cross-entropy with label smoothing 0.1; SGD has learning rate 0.1, momentum 0.9 and weight decay 0.01. Start
values and images follow a formula (`numbers`) that is exact in float32. Arithmetic is float32, as in training. Numbers
are written with nine significant digits, which is exact for float32.
"""

import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
BATCH, CLASSES = 4, 5


def numbers(salt: int, shape, scale: float) -> torch.Tensor:
    count = torch.Size(shape).numel()
    values = [((i * i * 7 + i * 13 + salt * 29) % 211 - 105) / 128 * scale for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).float().reshape(shape)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.conv3 = nn.Conv2d(8, 16, 3, 2, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        a = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(a)) + a)
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        x = torch.relu(self.depthwise(x))
        x = torch.relu(self.bn3(self.conv3(x)))
        return self.fc(torch.flatten(nn.functional.avg_pool2d(x, 2), 1))


def main():
    model = Network().train()
    with torch.no_grad():
        for salt, (name, parameter) in enumerate(model.named_parameters()):
            is_scale = name.startswith("bn") and name.endswith("weight")
            parameter.copy_(numbers(salt, parameter.shape, 0.5) + (1.0 if is_scale else 0.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    lines = []

    def write(name, tensor):
        lines.append(f"{name} " + " ".join(f"{float(value):.9g}" for value in tensor.detach().flatten()))

    for step in range(2):
        images = numbers(100 + step, (BATCH, 3, 8, 8), 1.0)
        labels = torch.tensor([(step + 2 * i) % CLASSES for i in range(BATCH)])
        optimizer.zero_grad()
        logits = model(images)
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
        loss.backward()
        write(f"{step}.logits", logits)
        write(f"{step}.loss", loss)
        for name, parameter in model.named_parameters():
            write(f"{step}.grad.{name}", parameter.grad)
        optimizer.step()
    for name, parameter in model.named_parameters():
        write(f"end.{name}", parameter)
    for name, buffer in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            write(f"end.{name}", buffer)
    (HERE / "train_step_golden.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
