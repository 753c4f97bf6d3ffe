"""Trajectories of PyTorch's optimizers and schedules: the expected values of the unit tests.

python optimizer_golden.py    (writes optimizer_golden.txt and schedule_golden.txt beside itself; PyTorch 2.15, CPU)

Gradients are fixed numbers, not those of a network. Numbers are written with nine significant digits, which is exact
for float32.
"""

import pathlib

import torch

HERE = pathlib.Path(__file__).parent
N, STEPS = 7, 20


def text(values) -> str:
    return " ".join(f"{float(value):.9g}" for value in values)


def trajectory(rule: str, make, weight_decay=0.0, clip_norm=0.0, clip_value=0.0) -> str:
    generator = torch.Generator().manual_seed(7)
    parameter = torch.nn.Parameter(torch.randn(N, generator=generator))
    optimizer = make([parameter], weight_decay)
    lines = [f"rule {rule}", f"weight_decay {weight_decay}", f"clip_norm {clip_norm}", f"clip_value {clip_value}",
             f"start {text(parameter.detach())}"]
    for step in range(STEPS):
        rate = 0.1 / (1 + step % 4)
        for group in optimizer.param_groups:
            group["lr"] = rate
        gradient = torch.randn(N, generator=generator) * 10.0 ** (step % 5 - 3)
        parameter.grad = gradient.clone()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_([parameter], clip_norm)
        if clip_value:
            torch.nn.utils.clip_grad_value_([parameter], clip_value)
        optimizer.step()
        lines.append(f"step {rate!r} {text(gradient)} | {text(parameter.detach())}")
    return "\n".join(lines)


def sgd(**settings):
    return lambda parameters, decay: torch.optim.SGD(parameters, lr=0.1, weight_decay=decay, **settings)


def adam(kind, **settings):
    return lambda parameters, decay: kind(parameters, lr=0.1, weight_decay=decay, **settings)


def schedule(text_: str, make, epochs: int, steps: int, every_step: bool) -> str:
    """Factors of the base rate at every step of `epochs` epochs of `steps` steps."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(epochs):
        for _ in range(steps):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if every_step:
                scheduler.step()
        if not every_step:
            scheduler.step()
    return f"schedule {text_} epochs {epochs} steps {steps}\n" + " ".join(f"{factor:.17g}" for factor in factors)


def main() -> None:
    cases = [
        trajectory("sgd:momentum=0", sgd()),
        trajectory("sgd:momentum=0", sgd(), weight_decay=0.05),
        trajectory("sgd", sgd(momentum=0.9)),
        trajectory("sgd:momentum=0.9", sgd(momentum=0.9), weight_decay=0.05),
        trajectory("sgd:momentum=0.8,dampening=0.3", sgd(momentum=0.8, dampening=0.3), weight_decay=0.05),
        trajectory("sgd:momentum=0.9,nesterov=true", sgd(momentum=0.9, nesterov=True), weight_decay=0.05),
        trajectory("sgd:momentum=0.9", sgd(momentum=0.9), clip_norm=1.5),
        trajectory("sgd:momentum=0.9", sgd(momentum=0.9), clip_value=0.7),
        trajectory("adam", adam(torch.optim.Adam)),
        trajectory("adam:beta1=0.8,beta2=0.95,eps=0.001", adam(torch.optim.Adam, betas=(0.8, 0.95), eps=1e-3),
                   weight_decay=0.05),
        trajectory("adamw", adam(torch.optim.AdamW), weight_decay=0.05),
        trajectory("adamw:beta1=0.5,eps=1e-6", adam(torch.optim.AdamW, betas=(0.5, 0.999), eps=1e-6), weight_decay=0.3),
    ]
    header = f"Written by optimizer_golden.py with PyTorch {torch.__version__.split('+')[0]}\n\n"
    (HERE / "optimizer_golden.txt").write_text(header + "\n\n".join(cases) + "\n")
    s = torch.optim.lr_scheduler
    schedules = [
        schedule("step:at=2/5,gamma=0.1", lambda o: s.MultiStepLR(o, [2, 5], 0.1), 7, 3, False),
        schedule("step:every=2,gamma=0.5", lambda o: s.StepLR(o, 2, 0.5), 7, 3, False),
        schedule("exponential:gamma=0.9", lambda o: s.ExponentialLR(o, 0.9), 6, 2, False),
        schedule("cosine", lambda o: s.CosineAnnealingLR(o, 20), 4, 5, True),
        schedule("cosine:min=0.1", lambda o: s.CosineAnnealingLR(o, 20, eta_min=0.1), 4, 5, True),
        schedule("one-cycle", lambda o: s.OneCycleLR(o, 1.0, total_steps=30, cycle_momentum=False), 6, 5, True),
        schedule("one-cycle:rise=0.25,div=10,final_div=100",
                 lambda o: s.OneCycleLR(o, 1.0, total_steps=24, cycle_momentum=False, pct_start=0.25, div_factor=10,
                                        final_div_factor=100), 6, 4, True),
        schedule("cosine:warmup=2,warmup_start=0.2",
                 lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.2, 1.0, 6), s.CosineAnnealingLR(o, 12)], [6]), 6, 3, True),
    ]
    (HERE / "schedule_golden.txt").write_text(header + "\n\n".join(schedules) + "\n")


if __name__ == "__main__":
    main()
