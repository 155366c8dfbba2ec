"""The sum of units' clipped gradients, in closed form for linear layers: no unit's gradient is ever written down.

For a layer z = W·a + b and a unit with tokens t (its rows, several views of a row), the gradient of the unit's loss is Σ_t g_t a_tᵀ for W
and Σ_t g_t for b, g_t being the loss's gradient in z_t. Its squared norm is Σ_{t,t'} (g_t·g_t')(a_t·a_t' + 1): the ghost norm
(2009.03106, 2205.10683). With the units' clipping factors c_u known, the clipped sums are Σ c_u g_t a_tᵀ from the same a and g
(book-keeping, 2210.00038), so that one backward pass, of activations only, serves both. A layer whose weights are masked (`masked`) has
Σ_{ij} M_ij (g_i a_j)² for a token, which is a matrix product too; over several tokens of a unit the norms of each are added up, which
bounds the norm of their sum. Tests compare it with Opacus' gradients
sample by sample and with one backward pass a unit.

Activations and their gradients are float32 (or bfloat16, on CUDA); what is computed from them here, norms and sums, is float64, whatever the
device: no square overflows or vanishes, and no reduced precision of matrix products (TF32) applies. Where a unit's tokens nearly cancel, a
squared norm is the small difference of large numbers: `_rounding` is added, so that it is never too small. What is left is that *other*
units' activations may round differently when one joins their batch: `HEADROOM` is what the noise is larger by on that account. A unit whose
gradient is no number (an overflow) adds nothing: it would make the whole sum no number, which no noise hides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from release.errors import PlanError

if TYPE_CHECKING:
    import torch

HEADROOM = 1.001
"""Noise is drawn for a bound so many times the clipping bound: more than all float32 roundings of others that a unit's presence can move."""

PIECE = 512
"""Tokens whose products are formed at a time: what is made of them stays in the processor's cache."""

UNIT_ROUNDOFF = 2.0**-53
"""Of float64."""

Piece = list[tuple["torch.nn.Linear", "torch.Tensor", "torch.Tensor"]]
"""Of each layer that was used: it, its inputs a and its outputs' gradients g, shape (units, tokens, features), float64."""


def require_private(module: torch.nn.Module) -> None:
    """Raise PlanError for a network whose per-unit gradients do not exist or are not computed here.

    Opacus' validator knows layers that mix samples (BatchNorm) or keep statistics; besides, only linear layers may have parameters.
    """
    import torch
    from opacus.validators import ModuleValidator

    if found := ModuleValidator.validate(module.train()):
        raise PlanError(
            f"the network cannot be trained privately: {'; '.join(str(error) for error in found)}",
            mend="replace the layer (GroupNorm and LayerNorm do not mix units, BatchNorm does)",
        )
    for name, part in module.named_modules():
        own = [p for p in part.parameters(recurse=False) if p.requires_grad]
        if own and not isinstance(part, torch.nn.Linear):
            raise PlanError(
                f'layer "{name}" ({type(part).__name__}) has parameters and is not linear',
                mend="build the network of torch.nn.Linear and layers without parameters",
            )
        mixes = isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
        if mixes or getattr(part, "running_mean", None) is not None:
            raise PlanError(
                f'layer "{name}" ({type(part).__name__}) mixes units or keeps statistics of them',
                mend="remove it: the network must treat each unit by itself",
            )


class ClippedSum:
    """The clipped gradients of a network's units, summed over the parts of a batch.

    Args:
        module: the network; `require_private` holds.
        clip: bound on a unit's gradient norm, over all parameters together.
    """

    def __init__(self, module: torch.nn.Module, clip: float) -> None:
        import torch

        require_private(module)
        self._module = module
        self._clip = clip
        self._layers = [
            part
            for part in module.modules()
            if isinstance(part, torch.nn.Linear) and part.weight.requires_grad
        ]
        self.sums: dict[torch.Tensor, torch.Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a new sum."""
        import torch

        self.sums = {
            parameter: torch.zeros_like(parameter, dtype=torch.float64)
            for layer in self._layers
            for parameter in (layer.weight, layer.bias)
            if parameter is not None
        }

    def add(self, losses_of: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Add the clipped gradients of some units; returns the units' unclipped norms (private), shape (units,).

        Args:
            losses_of: runs the network once, on inputs whose first axis is the units, and returns each unit's loss, shape (units,). Every
                linear layer sees (units, features) or (units, tokens, features).
        """
        import torch

        seen: dict[torch.nn.Linear, tuple[torch.Tensor, torch.Tensor]] = {}

        def remember(layer: Any, inputs: Any, output: Any) -> None:
            if layer in seen:
                raise PlanError(
                    "the network uses a layer twice in one pass", mend="stack the inputs as tokens"
                )
            seen[layer] = (inputs[0].detach(), output)

        handles = [layer.register_forward_hook(remember) for layer in self._layers]
        try:
            losses = losses_of()
        finally:
            for handle in handles:
                handle.remove()
        layers = list(seen)
        gradients = torch.autograd.grad(losses.sum(), [seen[layer][1] for layer in layers], allow_unused=True)
        kept = [
            (layer, _tokens(seen[layer][0]), _tokens(gradient))
            for layer, gradient in zip(layers, gradients, strict=True)
            if gradient is not None
        ]
        units = len(losses)
        most = max((a.shape[1] for _, a, _ in kept), default=1)
        size = max(1, PIECE // most) if losses.device.type == "cpu" else max(1, units)
        norms = [torch.zeros(0, dtype=torch.float64, device=losses.device)]
        with torch.no_grad():
            for begin in range(0, units, size):
                here = slice(begin, begin + size)
                norms.append(
                    self._add_piece(
                        [(layer, a[here].double(), g[here].double()) for layer, a, g in kept], losses[here]
                    )
                )
        return torch.cat(norms)

    def _add_piece(self, piece: Piece, losses: torch.Tensor) -> torch.Tensor:
        """Norms of some units, shape (units,); their clipped gradients join the sums."""
        import torch

        squared = torch.zeros(len(losses), dtype=torch.float64, device=losses.device)
        for layer, a, g in piece:
            mask = _mask(layer)
            squared += (
                _squared_norms(a, g, bias=layer.bias is not None)
                if mask is None
                else _squared_bounds(a, g, mask, bias=layer.bias is not None)
            )
        norms = squared.sqrt()
        lost = ~torch.isfinite(norms)
        some = lost.device.type != "cpu" or bool(lost.any())  # elsewhere, asking would wait for the device
        factors = (self._clip / norms.clamp(min=self._clip))[:, None, None]
        for layer, a, g in piece:
            weighted, seen_by_it = g * factors, a
            if some:
                nobody = lost[:, None, None]
                weighted, seen_by_it = weighted.masked_fill(nobody, 0.0), a.masked_fill(nobody, 0.0)
            weighted = weighted.flatten(0, 1)
            mask = _mask(layer)
            if mask is None:
                self.sums[layer.weight].addmm_(weighted.T, seen_by_it.flatten(0, 1))
            else:
                self.sums[layer.weight] += (weighted.T @ seen_by_it.flatten(0, 1)) * mask
            if layer.bias is not None:
                self.sums[layer.bias] += weighted.sum(dim=0)
        return norms


@functools.cache
def masked_linear() -> type:
    """The class of a linear layer of which only some weights exist: `MaskedLinear(mask, bias=True)`, mask (out, in) of 0 and 1."""
    import torch

    class MaskedLinear(torch.nn.Linear):
        """See `masked_linear`."""

        mask: torch.Tensor

        def __init__(self, mask: torch.Tensor) -> None:
            super().__init__(mask.shape[1], mask.shape[0])
            # Follows from the layer's shape and place: never read from a file.
            self.register_buffer("mask", mask.float(), persistent=False)

        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
            return torch.nn.functional.linear(input, self.weight * self.mask, self.bias)

    return MaskedLinear


def _tokens(tensor: torch.Tensor) -> torch.Tensor:
    """(units, features) or (units, tokens, features) → (units, tokens, features)."""
    return tensor if tensor.dim() == 3 else tensor.unsqueeze(1)


def _mask(layer: torch.nn.Linear) -> torch.Tensor | None:
    """Which of a layer's weights exist, shape (out, in), float64; None: all."""
    mask = getattr(layer, "mask", None)
    return None if mask is None else mask.double()


def _squared_bounds(a: torch.Tensor, g: torch.Tensor, mask: torch.Tensor, *, bias: bool) -> torch.Tensor:
    """(Σ_t √(Σ_{ij} M_ij g_ti² a_tj² + bias · |g_t|²))² of each unit, shape (units,); exact for one token."""
    g2 = g * g
    token = ((g2 @ mask) * (a * a)).sum(dim=2)
    if bias:
        token = token + g2.sum(dim=2)
    if a.shape[1] == 1:
        return token[:, 0]
    found: torch.Tensor = token.sqrt().sum(dim=1) ** 2
    return found


def _squared_norms(a: torch.Tensor, g: torch.Tensor, *, bias: bool) -> torch.Tensor:
    """Σ_{t,t'} (g_t·g_t')(a_t·a_t' + bias) of each unit, shape (units,)."""
    import torch

    one = 1.0 if bias else 0.0
    if a.shape[1] == 1:
        return (g * g).sum(dim=(1, 2)) * ((a * a).sum(dim=(1, 2)) + one)
    squared = (torch.bmm(g, g.transpose(1, 2)) * (torch.bmm(a, a.transpose(1, 2)) + one)).sum(dim=(1, 2))
    return squared + _rounding(a, g, one)


def _rounding(a: torch.Tensor, g: torch.Tensor, one: float) -> torch.Tensor:
    """The most by which float64 can bring a unit's squared norm under its value: γ · (Σ_t |g_t| √(|a_t|² + bias))², shape (units,).

    γ counts the additions of each product (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
    """
    additions = a.shape[2] + g.shape[2] + a.shape[1] ** 2 + 4
    lengths = (g * g).sum(dim=2).sqrt() * ((a * a).sum(dim=2) + one).sqrt()
    largest: torch.Tensor = lengths.sum(dim=1) ** 2
    return additions * UNIT_ROUNDOFF * largest
