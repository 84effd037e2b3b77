"""The same mathematics in eager torch, as the field runs it: the benchmark's peers where torch is installed.

Written from the published formulas. Networks are functions of a torchvision state dict (bottleneck ResNets, v1.5) in
evaluation. The layout of activations is torch's default ("contiguous") or "channels_last".
"""

import importlib
import importlib.util
from typing import Any

import numpy as np

from benchmarks import plain_jax
from benchmarks.plain_jax import COLDNESS, Geometry

INSTALLED = importlib.util.find_spec("torch") is not None
torch: Any = importlib.import_module("torch") if INSTALLED else None
_EPSILON = 1e-5


def tensors(state: dict[str, np.ndarray], *, layout: str = "contiguous", trainable: bool = False) -> dict[str, Any]:
    """Convert a state dict of arrays to torch tensors."""
    given = {name: torch.tensor(array) for name, array in state.items()}
    if layout == "channels_last":
        for name, tensor in given.items():
            if tensor.ndim == 4:
                given[name] = tensor.contiguous(memory_format=torch.channels_last)
    if trainable:
        for name, tensor in given.items():
            tensor.requires_grad_(not name.endswith(("running_mean", "running_var")))
    return given


def picture(image: np.ndarray, *, layout: str = "contiguous"):
    """Convert (B, H, W, C) to torch's (B, C, H, W)."""
    moved = torch.tensor(np.ascontiguousarray(np.moveaxis(image, -1, 1)))
    return moved.contiguous(memory_format=torch.channels_last) if layout == "channels_last" else moved


def network(state: dict[str, Any], images, *, train: bool = False):
    """Return logits (B, classes) and last features (B, C, h, w). `train` normalises by the batch, with no average."""
    functional = torch.nn.functional

    def conv(name, x, stride=1, padding=0):
        return functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    def norm(name, x):
        scale, bias, mean, var = (state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        mean, var = (None, None) if train else (mean, var)
        return functional.batch_norm(x, mean, var, scale, bias, train, 0.0, _EPSILON)

    x = torch.relu(norm("bn1", conv("conv1", images, 2, 3)))
    x = functional.max_pool2d(x, 3, 2, 1)
    stage = 1
    while f"layer{stage}.0.conv1.weight" in state:
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            y = torch.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
            y = torch.relu(norm(f"{name}.bn2", conv(f"{name}.conv2", y, stride, 1)))
            y = norm(f"{name}.bn3", conv(f"{name}.conv3", y))
            if f"{name}.downsample.0.weight" in state:
                x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = torch.relu(y + x)
            block += 1
        stage += 1
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"], x


def extremal(state: dict[str, Any], levels, layout: Geometry, target: int, *, iterations: int):
    """Run Extremal Perturbation of one picture, `levels` (L, C, H, W). Returns the mask (H, W) of the last step."""
    height, width = levels.shape[2:]
    weights = torch.tensor(layout.weights)
    wanted = (torch.arange(layout.full**2) >= int(layout.full**2 * (1 - plain_jax.AREA))).float()
    channels_last = levels.is_contiguous(memory_format=torch.channels_last) and not levels.is_contiguous()
    parameters = torch.ones(1, 1, layout.grid, layout.grid, requires_grad=True)
    optimiser = torch.optim.SGD(
        [parameters], plain_jax.LEARNING_RATE, momentum=plain_jax.MOMENTUM, dampening=1 - (1 - plain_jax.MOMENTUM)
    )
    history, mask = [], None
    for iteration in range(iterations):
        padded = torch.nn.functional.pad(parameters, (layout.padding,) * 4)
        taps = torch.nn.functional.unfold(padded, layout.window).reshape(-1, layout.cells, layout.cells)
        taps = taps.repeat_interleave(plain_jax.STEP, 1).repeat_interleave(plain_jax.STEP, 2)
        bumps = weights * taps[:, : layout.full, : layout.full]
        full = (bumps * torch.softmax(COLDNESS * bumps, 0)).sum(0)
        mask = full[layout.offset : layout.offset + height, layout.offset : layout.offset + width]
        position = mask * (len(levels) - 1)
        below = position.detach().floor()
        share, index = position - below, below.long().expand(1, levels.shape[1], height, width)
        low = levels.gather(0, index)
        high = levels.gather(0, (index + 1).clamp(max=len(levels) - 1))
        view = (1 - share) * low + share * high
        if channels_last:
            view = view.contiguous(memory_format=torch.channels_last)
        reward = network(state, view)[0][0, target]
        ordered = full.reshape(-1).sort(stable=True)[0]
        distance = ((ordered - wanted) ** 2).mean()
        area_weight = plain_jax.AREA_WEIGHT * plain_jax.GROWTH**iteration
        optimiser.zero_grad()
        (area_weight * distance - reward).backward()
        optimiser.step()
        with torch.no_grad():
            parameters.clamp_(0, 1)
        history.append((reward.item(), distance.item()))
    return mask.detach()


def full_graph_grad_cam(state: dict[str, Any], images, targets, size: int):
    """Compute Grad-CAM (B, size, size) by a backward pass through the whole network with its parameters."""
    logits, features = network(state, images)
    features.retain_grad()
    logits.gather(1, targets[:, None]).sum().backward()
    heat = torch.relu((features * features.grad.mean((2, 3), keepdim=True)).sum(1, keepdim=True)).detach()
    for tensor in state.values():
        tensor.grad = None
    return torch.nn.functional.interpolate(heat, (size, size), mode="bilinear", align_corners=False)[:, 0]


def adam_step(state: dict[str, Any], images, labels):
    """Return a call that takes one training step with Adam and returns its loss."""
    optimiser = torch.optim.Adam([tensor for tensor in state.values() if tensor.requires_grad], 1e-4)

    def step():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(state, images, train=True)[0], labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def stacked_gradients(members: list[dict[str, Any]], images, labels):
    """Return a call that takes the gradients of many members at once: torch.func's vmap over stacked parameters.

    Args:
      members: state dicts of one architecture.
      images: (M, B, C, H, W).
      labels: (M, B).
    """
    averages = ("running_mean", "running_var", "num_batches_tracked")
    names = [name for name in members[0] if not name.endswith(averages)]
    stacked = {name: torch.stack([member[name] for member in members]) for name in names}
    rest = {name: tensor for name, tensor in members[0].items() if name not in stacked}

    def loss(params, images, labels):
        return torch.nn.functional.cross_entropy(network(params | rest, images, train=True)[0], labels)

    gradients = torch.func.vmap(torch.func.grad(loss))
    return lambda: gradients(stacked, images, labels)
