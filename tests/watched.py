"""A device that computes as the CPU does, and sees what a GPU would: which tensors meet, and who waits for an answer.

Torch lets a backend be written in Python. This one keeps every tensor in the CPU's memory, runs each operation there,
and refuses one of whose tensors some lie elsewhere, as CUDA does. So what a training does on a GPU can be tried without
one, to the last bit: a tensor that was made on the wrong device, an update that waits, an operation without a result
that repeats.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch.utils import _pytree as tree

__all__ = ["Seen", "watched", "watching"]

# the answer of which the CPU has to know before it can go on
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "_unique2")


class Seen:
    """What was done on the device: operations, and those for which a program waits."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()


_SEEN = Seen()


class _There(torch.Tensor):
    """A tensor of the device, and where its numbers really are."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> _There:
        shape = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        self: _There = torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=watched(), **shape)  # type: ignore[attr-defined]
        self.inner = inner
        return self

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = function.name().removeprefix("aten::").partition(".")[0]
    if name == "to":  # in inference mode a composition arrives as it was called
        return function.decompose(*args, **kwargs)
    given = [x for x in tree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = [x for x in given if isinstance(x, _There)]
    copies = name in ("_to_copy", "copy_")
    if there and not copies:
        strangers = [tuple(x.shape) for x in given if not isinstance(x, _There) and x.dim()]
        assert not strangers, f"{name}: CPU tensors {strangers} among those of the device"
    _SEEN.operations[name] += 1
    to = kwargs.get("device")
    if name in WAITS or (copies and not _queued(name, args, kwargs)):
        _SEEN.waits[name] += 1

    def inside(x: Any) -> Any:
        ours = isinstance(x, torch.device) and x.type == watched().type
        return x.inner if isinstance(x, _There) else torch.device("cpu") if ours else x

    mine = {id(x.inner): x for x in there}
    if name == "_fused_sdp_choice":
        return 0  # plain products, of which every operation is seen
    if name == "_efficientzerotensor":  # zeros without memory, which forward mode makes
        function = torch.ops.aten.zeros.default
    out = function(*tree.tree_map(inside, args), **tree.tree_map(inside, kwargs))
    ours = to.type == watched().type if to is not None else bool(there) or not given

    def outside(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        return mine[id(x)] if id(x) in mine else _There(x) if ours else x

    return tree.tree_map(outside, out)


def _queued(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a copy waits for nothing: it stays on the device, or goes there and was said not to block."""
    if name == "copy_":
        into, source = args[0], args[1]
        stays = isinstance(into, _There) and isinstance(source, _There)
        return stays or (isinstance(into, _There) and bool(args[2] if len(args) > 2 else kwargs.get("non_blocking")))
    to = kwargs.get("device")
    if to is None or to.type == "meta" or isinstance(args[0], _There) == (to.type == watched().type):
        return True
    return to.type == watched().type and bool(kwargs.get("non_blocking"))


@lru_cache
def watched() -> torch.device:
    """The device; torch learns of it at the first call, once a process."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("watched")
    module: Any = torch.watched  # type: ignore[attr-defined]
    type(module).get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda function, *args, **kwargs: _run(function, args, kwargs), "PrivateUse1")
    aten = torch.library.Library("aten", "IMPL")
    for overload in ("arange", "arange.start", "arange.start_step"):  # torch would make it empty and then let it grow
        aten.impl(
            overload, lambda *args, **kwargs: _There(torch.arange(*args, dtype=kwargs.get("dtype"))), "PrivateUse1"
        )
    watched.library = library, aten  # type: ignore[attr-defined]  # forgotten, it would take the backend with it
    return torch.device("watched", 0)


def at_home(x: torch.Tensor) -> torch.Tensor:
    """A tensor of the device as one of the CPU."""
    return x.inner if isinstance(x, _There) else x


@contextlib.contextmanager
def watching() -> Iterator[Seen]:
    """While open, what is done on the device is counted anew."""
    global _SEEN
    was, _SEEN = _SEEN, Seen()
    try:
        # torch counts the devices of its backward passes at the first of a process, which may be long past
        with torch.autograd.set_multithreading_enabled(False):
            yield _SEEN
    finally:
        _SEEN = was
