"""The autoregressive network: what is added to the base's conditional log-probabilities of every attribute, in one pass.

A masked autoencoder (MADE, 1502.03509) over one-hot levels, in the order of the base's chain (`backbone`): the output for an attribute sees
only attributes before it. Two hidden layers, the second residual; output weights begin at zero, so that the untrained network *is* the base.
The task's target has a head besides: given all other attributes, for drawing it once more when a row is complete.

    logits(a) = backbone.given(a) + tilt[level of a's partner] + residual(a)

`tilt` is frozen during training and set by `calibration`. Only linear layers have parameters, and no layer sees two rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from generators.deep.backbone import Backbone, FloatTable, IntArray
from generators.deep.clipping import masked_linear

if TYPE_CHECKING:
    import torch

HEAD = 32
"""Width of the target's head."""


class Network:
    """The network with its frozen parts.

    Args:
        backbone: the chain that it adds to; gives sizes and order.
        hidden: width of the hidden layers.
        target: the attribute that is drawn once more; None where there is no task.

    Attributes:
        backbone, hidden, target: as given.
        partners: of each attribute, the one of its context that its tilt depends on; -1: none.
        module: the trainable layers, with masks and tilts as buffers, so that one file holds all.
    """

    def __init__(self, backbone: Backbone, hidden: int, target: int | None) -> None:
        import torch

        self.backbone = backbone
        self.hidden = hidden
        self.target = target
        self.sizes = backbone.sizes
        self.order = backbone.order
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.partners = tuple(_partner(backbone, attribute) for attribute in range(len(self.sizes)))
        rank = np.empty(len(self.sizes), dtype=np.int64)
        rank[list(self.order)] = np.arange(len(self.order))
        levels = np.repeat(rank, self.sizes)
        degrees = 1 + np.arange(hidden) * max(len(self.order) - 1, 1) // hidden  # sees this many attributes
        layer = masked_linear()
        self.module = torch.nn.ModuleDict(
            {
                "first": layer(torch.from_numpy(levels[None, :] < degrees[:, None])),
                "second": layer(torch.from_numpy(degrees[None, :] <= degrees[:, None])),
                "out": layer(torch.from_numpy(degrees[None, :] <= levels[:, None])),
            }
        )
        if target is not None:
            self.module["head_first"] = torch.nn.Linear(self.width, HEAD)
            self.module["head_out"] = torch.nn.Linear(HEAD, self.sizes[target])
            self.module.register_buffer("tilt_again", torch.zeros(self.sizes[target]))
        for attribute, partner in enumerate(self.partners):
            groups = self.sizes[partner] if partner >= 0 else 1
            self.module.register_buffer(f"tilt_{attribute}", torch.zeros(groups, self.sizes[attribute]))

    def draw_weights(self, rng: np.random.Generator) -> None:
        """Random hidden layers, outputs of zero."""
        import torch

        layers: Any = self.module
        with torch.no_grad():
            for name, layer in layers.items():
                layer.bias.zero_()
                if name in ("out", "head_out"):
                    layer.weight.zero_()
                else:
                    seen = len(self.sizes) if name in ("first", "head_first") else self.hidden
                    drawn = rng.standard_normal(tuple(layer.weight.shape)) * np.sqrt(2.0 / seen)
                    layer.weight.copy_(torch.from_numpy(drawn))

    @property
    def device(self) -> torch.device:
        """Where the layers are."""
        return next(self.module.parameters()).device

    @property
    def width(self) -> int:
        """S: all levels of all attributes."""
        return int(self.offsets[-1])

    def span(self, attribute: int) -> slice:
        """Where an attribute's levels stand."""
        return slice(int(self.offsets[attribute]), int(self.offsets[attribute + 1]))

    def one_hot(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (…, d) as levels (…, S)."""
        import torch

        places = codes + torch.from_numpy(self.offsets[:-1]).to(codes.device)
        return torch.zeros(*codes.shape[:-1], self.width, device=codes.device).scatter_(-1, places, 1.0)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """The trainable part of all logits, shape (…, S)."""
        import torch

        layers: Any = self.module
        h = torch.relu(layers["first"](x))
        h = h + torch.relu(layers["second"](h))
        found: torch.Tensor = layers["out"](h)
        return found

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """The trainable part of the target's logits given all others, shape (…, size). Only where there is a target."""
        import torch

        if self.target is None:
            raise ValueError("there is no target")
        layers: Any = self.module
        others = x.clone()
        others[..., self.span(self.target)] = 0.0
        found: torch.Tensor = layers["head_out"](torch.relu(layers["head_first"](others)))
        return found

    def tilt(self, attribute: int) -> torch.Tensor:
        """What calibration adds to the logits, shape (partner's size or 1, size)."""
        return self.module.get_buffer(f"tilt_{attribute}")

    def group(self, attribute: int, codes: IntArray) -> IntArray:
        """The row of `tilt` that each row of codes uses, shape (n,)."""
        partner = self.partners[attribute]
        return codes[:, partner] if partner >= 0 else np.zeros(len(codes), dtype=np.int64)

    def add_tilt(self, attribute: int, values: FloatTable) -> None:
        """Add to `tilt`."""
        import torch

        self.tilt(attribute).add_(torch.from_numpy(np.ascontiguousarray(values)))

    def tilt_again(self) -> torch.Tensor:
        """What calibration adds to the head's logits, shape (size of the target,). Only where there is a target."""
        return self.module.get_buffer("tilt_again")

    def add_tilt_again(self, values: FloatTable) -> None:
        """Add to `tilt_again`."""
        import torch

        self.tilt_again().add_(torch.from_numpy(values))


def _partner(backbone: Backbone, attribute: int) -> int:
    """The attribute of its context that its table varies with most; -1 where it has none."""
    return max(backbone.contexts[attribute], key=lambda a: _dependence(backbone, attribute, a), default=-1)


def _dependence(backbone: Backbone, attribute: int, other: int) -> float:
    """How much the attribute's table varies with one of its context (mean absolute log-ratio to the mean over the others)."""
    context = backbone.contexts[attribute]
    shape = (*(backbone.sizes[a] for a in context), backbone.sizes[attribute])
    share = np.exp(backbone.logs[attribute].astype(np.float64)).reshape(shape)
    axes = tuple(k for k, a in enumerate(context) if a != other)
    by_other = share.mean(axis=axes)
    return float(np.abs(by_other - by_other.mean(axis=0, keepdims=True)).mean())
