"""Networks that are only looked through: never trained, never saved with a run."""

from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Frozen(nn.Module):
    """Stays in evaluation mode, also when a module that holds it is told to train."""

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


def freeze(network: Network) -> Network:
    """Turns every weight into a buffer that is not saved, in place, and returns the network.

    Gradients still pass to the network's input. Its weights follow `.to(device)`, are seen by no
    optimiser, and add no name to the state dictionary of a module that holds the network: a
    checkpoint holds what was trained, and loads whichever perceptual distance is used next.
    """
    for module in network.modules():
        tensors: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
        for name in tensors:
            delattr(module, name)
        tensors |= dict(module.named_buffers(recurse=False))
        for name, tensor in tensors.items():
            module.register_buffer(name, tensor.detach(), persistent=False)
    return network.eval()
