"""Networks in files: safetensors, read without pickle, refused where names, shapes or numbers are not what a network has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release.errors import IntegrityError

if TYPE_CHECKING:
    import torch


def save_weights(module: torch.nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a network."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path)


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Fill a network of the right shape. Raises IntegrityError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path, device="cpu")
        module.load_state_dict(state, strict=True)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise IntegrityError(
            f"the network in {path.name} cannot be read: {str(error).splitlines()[0]}",
            mend="restore the model from its backup",
        ) from error
    if lost := sorted(name for name, tensor in state.items() if not bool(tensor.isfinite().all())):
        raise IntegrityError(
            f"the network in {path.name} has weights that are no numbers, in {lost}",
            mend="restore the model from its backup",
        )
