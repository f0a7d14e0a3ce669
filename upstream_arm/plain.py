"""Whether a module is exactly what torch made of it, so that its weights may be read past its call."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module

_OWN_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a call of `module` does what `kind.forward` does with the weights that it shows, and no more.

    False for everything that people put around or in the place of a layer: another class (LoRA and other
    adapters, quantised layers, parametrisations, which change the class), forward hooks (torch's pruning and
    its older weight normalisation are hooks), or a `forward` set on the instance.
    """
    hooked = any(getattr(module, name) for name in _OWN_HOOKS)
    hooked = hooked or any(getattr(torch_module, name) for name in _GLOBAL_HOOKS)
    return type(module) is kind and not hooked and "forward" not in vars(module)
