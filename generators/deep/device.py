"""Where the networks of the family are trained: one option, `device`, for all of them.

Mixed precision follows from the device and from nothing else: bfloat16 on CUDA, none on the processor. It is the forward and backward passes'
alone. What privacy rests on (norms, clipping, sums, noise: `clipping`, `stepper`) is float64 on either, and takes activations and
gradients as they come out of those passes, so that less precision changes which gradient is clipped, never how far.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release.errors import PlanError

if TYPE_CHECKING:
    import torch


class Device(StrEnum):
    """What trains."""

    CPU = "cpu"
    CUDA = "cuda"


def device_of(options: Mapping[str, Any]) -> Device:
    """Option `device`; the processor where not given. Raises PlanError for another, and for CUDA where torch sees none."""
    asked = options.get("device", Device.CPU.value)
    if asked not in tuple(Device):
        raise PlanError(
            f"option device is {asked!r}, not one of {[device.value for device in Device]}", mend="change it"
        )
    device = Device(asked)
    if device is Device.CUDA:
        import torch

        if not torch.cuda.is_available():
            raise PlanError(
                "option device is cuda, and torch sees none here",
                mend="set device: cpu, or plan where there is a CUDA device and a torch that is built for it",
            )
    return device


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass on this device."""
    import torch

    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
