"""The derivative of many numbers along one direction of the parameters, in one pass in forward mode.

Forward mode carries a derivative along with every value while a function is computed. So n losses give the n products
of their gradients with one vector v at the price of about two plain passes, however large n is; backward passes would
be n of them, one for each gradient.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import jvp

from raystudy.nn.gradients import with_parameters

__all__ = ["FORWARD_MODE_LOCK", "derivative_along"]

# torch keeps one level of forward mode for the whole process, and simulated ranks are threads of one
FORWARD_MODE_LOCK = threading.Lock()


def derivative_along(module: nn.Module, v: Mapping[str, Tensor], function: Callable[[], Tensor]) -> Tensor:
    """d `function` () / de at e = 0, of the shape that it has, where the parameters of `module` are theta + e v.

    Every operation of `function` must have a forward mode; the fused attention kernels have none.

    Args:
        v: a direction for some of the parameters, by their names in `module`; the others stay.
    """
    theta = {name: p.detach() for name, p in module.named_parameters() if name in v}

    def along(theta: dict[str, Tensor]) -> Tensor:
        return with_parameters(module, theta, function)

    with FORWARD_MODE_LOCK, torch.no_grad():
        derivative: Tensor = jvp(along, (theta,), (dict(v),))[1]
    return derivative
