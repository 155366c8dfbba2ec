"""Where the networks of the family are trained: one option, `device`, for all of them, and one precision, float32, on any.

No mixed precision, and no TF32. Units are clipped each by its own norm, but the passes of a part of a step are one matrix product: where its
shape changes, others' activations round differently, and that moves the sum too. In float32 it is 1e-7 of the clipping bound, for
which the noise has headroom (`clipping.HEADROOM`). In bfloat16 it could be several thousandths, for which it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from release.errors import PlanError


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
        if torch.get_float32_matmul_precision() != "highest" or torch.is_autocast_enabled("cuda"):
            raise PlanError(
                "torch is set to reduced precision on CUDA, and the noise has no headroom for its rounding",
                mend='leave torch.set_float32_matmul_precision at "highest", and plan outside of autocast',
            )
    return device
