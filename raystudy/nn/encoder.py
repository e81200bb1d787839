"""The pre-trained body with one head per task: the only place that knows padding, packing and attention kernels.

All layers run on flat tokens, (1, T, H) for the library's model; examples are padded to a rectangle only inside the
attention function, which is registered with the library as ``packed``. So a batch of any composition costs what its
real tokens cost, plus the padding of its attention. An architecture whose attention cannot be exchanged so
(`Family.packed`) gets whole rectangles.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from raystudy.catalogue import layers
from raystudy.data.plm import FAMILIES, PLM, weight_files
from raystudy.data.text import IGNORED, Batch, placed, tokenizer
from raystudy.errors import PreflightError, Problem
from raystudy.nn.architectures import ARCHITECTURES, NewPooler
from raystudy.nn.mlp import MLP

__all__ = [
    "Answers",
    "Body",
    "Encoder",
    "Inside",
    "attention_kernel",
    "frozen_layers",
    "pool",
    "token_budget",
    "trained_parameters",
    "untrained_body",
    "verify",
]

# What may change the states at the end of a layer: (layer from 1 to depth, the sum that the layer's last LayerNorm
# reads, what it made of it, that LayerNorm) -> the states that the next layer reads. Tensors are (1, T, H). Of an MLP
# it is the sum that its ReLU reads, and that ReLU; tensors are (B, H).
Inside = Callable[[int, Tensor, Tensor, nn.Module], Tensor]


@dataclass(frozen=True)
class _Packing:
    """How T flat tokens sit in a (B, L) rectangle: `place` (T,) = flat position, `mask` (B, 1, 1, L) = real tokens.

    `offsets` (B + 1,) are where the examples begin in the flat row.
    """

    place: Tensor
    offsets: Tensor
    mask: Tensor | None
    batch: int
    length: int
    exact: bool

    @property
    def real(self) -> Tensor:
        """(B, L) int64, 1 at real tokens."""
        if self.mask is None:
            return torch.ones(self.batch, self.length, dtype=torch.long, device=self.place.device)
        return self.mask[:, 0, 0].long()

    def near(self, distance: int) -> Tensor:
        """(B | 1, 1, L, L) bool: real tokens that are at most so far away."""
        at = torch.arange(self.length, device=self.place.device)
        near = ((at[:, None] - at).abs() <= distance)[None, None]
        return near if self.mask is None else near & self.mask

    def rectangle(self, x: Tensor) -> Tensor:
        """(T,) -> (B, L), zeros where there is no token."""
        return x.new_zeros(self.batch * self.length).index_copy(0, self.place, x).view(self.batch, self.length)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, L, H) -> (T, H)."""
        return x.flatten(0, 1).index_select(0, self.place)

    @classmethod
    def of(cls, offsets: Tensor, exact: bool, device: torch.device) -> _Packing:
        """The rectangle of examples that begin at `offsets`, found out where these are, for tokens on `device`."""
        lengths = offsets.diff()
        batch, length = len(lengths), int(lengths.max()) if len(lengths) else 0
        row = torch.repeat_interleave(torch.arange(batch, device=offsets.device), lengths)
        place = row * length + torch.arange(len(row), device=offsets.device) - offsets[row]
        full = bool((lengths == length).all())
        mask = None if full else (torch.arange(length, device=offsets.device) < lengths[:, None])[:, None, None]
        mask = None if mask is None else placed(mask, device)
        return cls(placed(place, device), placed(offsets, device), mask, batch, length, exact)

    def padded_states(self, x: Tensor) -> Tensor:
        """(T, H) -> (B, L, H), zeros where there is no token."""
        flat = x.new_zeros(self.batch * self.length, x.shape[1]).index_copy(0, self.place, x)
        return flat.view(self.batch, self.length, -1)

    def pad(self, x: Tensor) -> Tensor:
        """(1, heads, T, D) -> (B, heads, L, D), zeros where there is no token."""
        heads, tokens, width = x.shape[1:]
        flat = x[0].transpose(0, 1).reshape(tokens, heads * width)
        if self.mask is not None:
            flat = flat.new_zeros(self.batch * self.length, heads * width).index_copy(0, self.place, flat)
        return flat.view(self.batch, self.length, heads, width).transpose(1, 2)

    def flatten(self, x: Tensor) -> Tensor:
        """(B, heads, L, D) -> (1, T, heads, D)."""
        flat = x.transpose(1, 2).reshape(self.batch * self.length, *x.shape[1::2])
        return (flat if self.mask is None else flat.index_select(0, self.place)).unsqueeze(0)


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: _Packing,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each example, and with a `sliding_window` to tokens that are less than so far away.

    `packing.exact` asks for plain matrix products: the fused kernels have neither second derivatives nor forward mode,
    and with dropout they change kernel silently between train and eval.
    """
    local = sliding_window is not None and sliding_window < packing.length
    kernel = attention_kernel(query.device.type, query.dtype, exact=packing.exact, dropout=dropout, local=local)
    if kernel == "variable-length" and packing.batch:
        return _varlen(query, key, value, packing, scaling, sliding_window if local else None), None
    if kernel == "nested" and packing.batch:
        return _nested(query, key, value, packing, scaling, dropout), None
    q, k, v = packing.pad(query), packing.pad(key), packing.pad(value)
    mask = packing.near(sliding_window - 1) if local and sliding_window is not None else packing.mask
    if packing.exact:
        scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        out = F.dropout(scores.softmax(-1), dropout) @ v if dropout else scores.softmax(-1) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return packing.flatten(out), None


def attention_kernel(device: str, dtype: torch.dtype, *, exact: bool, dropout: float, local: bool = False) -> str:
    """By what attention within the examples of a ragged batch is computed, in the words of a record.

    ``variable-length``: torch's kernel over tokens in one row, which does no work on padding; it is for half precision
    and leaves nothing out. ``nested``: the same by a tensor of rows of different lengths, with dropout and in single
    precision. ``padded``: every text of a batch as long as its longest, within attention alone. On a CPU it is always
    that: the others are for GPUs.

    Args:
        device: its type, as torch names it. dtype: of the queries. dropout: of the attention, 0 outside training.
        exact: for second derivatives and forward mode. local: tokens see only those near them.
    """
    if device != "cuda" or exact or dtype == torch.float64:
        return "padded"
    if dtype in (torch.bfloat16, torch.float16) and not dropout and _varlen_attn() is not None:
        return "variable-length"
    return "padded" if local else "nested"


@lru_cache
def _varlen_attn() -> Callable[..., Tensor] | None:
    """Torch's attention over rows of different lengths, or None where this torch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # before torch 2.10
        return None
    attention: Any = varlen_attn
    return attention  # type: ignore[no-any-return]


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, packing: _Packing, scaling: float | None, window: int | None
) -> Tensor:
    """(1, T, heads, D) from (1, heads, T, D), by `varlen_attn`."""
    attention = _varlen_attn()
    assert attention is not None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (T, heads, D)
    near = (-1, -1) if window is None else (window - 1, window - 1)
    begins, longest = packing.offsets.to(torch.int32), packing.length
    out = attention(q, k, v, begins, begins, longest, longest, scale=scaling, window_size=near)
    return out.unsqueeze(0)


def _nested(
    query: Tensor, key: Tensor, value: Tensor, packing: _Packing, scaling: float | None, dropout: float
) -> Tensor:
    """(1, T, heads, D) from (1, heads, T, D), by a tensor of rows of different lengths."""

    def rows(x: Tensor) -> Tensor:  # (B, heads, each its own length, D)
        flat = x[0].transpose(0, 1).contiguous()
        nested = torch.nested.nested_tensor_from_jagged(flat, packing.offsets, min_seqlen=1, max_seqlen=packing.length)
        return nested.transpose(1, 2)

    out = F.scaled_dot_product_attention(rows(query), rows(key), rows(value), dropout_p=dropout, scale=scaling)
    return out.transpose(1, 2).values().unsqueeze(0)


class _Given(nn.Module):
    """Stands below the layers of a model and gives them what is known, whatever it is asked."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.states


_LOCK = threading.Lock()


@contextmanager
def _without_load_report() -> Iterator[None]:
    """While open, the library prints no table of the weights that it leaves alone; what it lacks is told by us."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@lru_cache(maxsize=4)
def _template(plm: PLM) -> nn.Module:
    """The pre-trained body in float32, read once per process; every Encoder copies it."""
    # The library takes seconds to load its models, and who only plans needs none of them.
    from transformers import AttentionInterface, AutoModel, BertConfig, BertModel
    from transformers.utils.logging import disable_progress_bar

    AttentionInterface.register("packed", _packed_attention)
    disable_progress_bar()
    architecture = ARCHITECTURES[plm.family]
    if plm.folder is None:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = BertConfig(vocab_size=len(tokenizer(plm)), max_position_embeddings=128, **sizes)
        config._attn_implementation = "packed"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random: nn.Module = BertModel(config)
            return random
    try:
        # weights that a checkpoint lacks are made on the spot, and must be the same on every rank and at every start
        with torch.random.fork_rng(devices=[]), _without_load_report():
            torch.manual_seed(0)
            model, report = AutoModel.from_pretrained(
                plm.folder,
                attn_implementation="packed" if FAMILIES[plm.family].packed else "eager",
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            if architecture.pooler is not None:
                model.pooler = architecture.pooler(model.config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as e:
        raise PreflightError(Problem(f"cannot be loaded: {_first_line(e)}", f"plm {plm.name}")) from None
    if lacking := sorted(k for k in report["missing_keys"] if not k.startswith("pooler.")):
        raise PreflightError(Problem(_lacks(lacking), f"plm {plm.name}"))
    loaded: nn.Module = model
    return loaded


def verify(plm: PLM) -> None:
    """Check that a model's configuration, tokenizer and weights fit together, without reading the weights.

    Raises:
        PreflightError: everything that does not.
    """
    if plm.folder is None:
        return
    wrong: list[Problem] = []
    try:
        tokenizer(plm)
    except PreflightError as e:
        wrong += e.problems
    try:
        model = _without_weights(plm)
    except Exception as e:  # the library checks a configuration with classes of three libraries
        wrong.append(Problem(f"config.json: {_first_line(e)}", f"plm {plm.name}"))
    else:
        wrong += [Problem(w, f"plm {plm.name}") for w in _misfits(model, plm.folder)]
    if wrong:
        raise PreflightError(wrong)


@lru_cache(maxsize=4)
def _without_weights(plm: PLM) -> Any:
    """The model that a folder's configuration describes, on the device where tensors have a shape and no numbers."""
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(AutoConfig.from_pretrained(plm.folder, local_files_only=True))


def trained_parameters(plm: PLM, freeze: str, inputs: int = 0) -> int:
    """How many numbers of a model's body are trained beside a value of the setting `freeze`; no weights are read.

    Args:
        inputs: the numbers of a vector, where the examples are vectors.
    """
    if freeze == "all":
        return 0
    if plm.width:
        frozen = freeze not in ("none", "embeddings") and layers(freeze, 1)[0]
        return 0 if frozen else (inputs + 1) * plm.width
    model = _template(plm) if plm.folder is None else _without_weights(plm)
    architecture = ARCHITECTURES[plm.family]
    lower = 0 if freeze in ("none", "embeddings") else frozen_layers(freeze, plm.depth, shared=plm.shared_layers)
    modules = () if freeze == "none" else architecture.frozen_with(model, lower)
    frozen_ones = {id(p) for module in modules for p in module.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in frozen_ones)


def _misfits(model: Any, folder: Path) -> Iterator[str]:
    """Weights of the model that the files lack or have in another shape."""
    stored: dict[str, list[int]] = {}
    for path in weight_files(folder):
        with safe_open(path, "np") as f:
            for key in f.keys():  # noqa: SIM118  no mapping, but a file
                # the names of a whole model with its heads, and those of the first TensorFlow checkpoints
                name = key.removeprefix(f"{model.base_model_prefix}.")
                name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
                stored[name] = f.get_slice(key).get_shape()
    wanted = {k: list(v.shape) for k, v in model.state_dict().items()}
    if lacking := [k for k in wanted if k not in stored and not k.startswith("pooler.")]:
        yield _lacks(lacking)
    other = [k for k, shape in wanted.items() if k in stored and stored[k] != shape]
    for k in other[:3]:
        yield f"{k} must have the shape {wanted[k]} by config.json, but its weights have {stored[k]}"
    if len(other) > 3:
        yield f"and {len(other) - 3} more weights have another shape than config.json says"


def _lacks(names: Sequence[str]) -> str:
    """What is missing would be random numbers, and nothing would say so."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"its weights lack what config.json announces: {', '.join(names[:3])}{more}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def pool(states: Float[Tensor, "t h"], offsets: Int[Tensor, "b_plus_1"]) -> Float[Tensor, "b h"]:
    """Mean over each example's tokens."""
    lengths = offsets.diff()
    every = torch.arange(len(lengths), device=states.device)
    owner = torch.repeat_interleave(every, lengths, output_size=len(states))  # its size known, no GPU is asked for it
    total = states.new_zeros(len(lengths), states.shape[1]).index_add(0, owner, states)
    return total / lengths[:, None].to(states.dtype)


@dataclass(frozen=True)
class Answers:
    """A head's logits (n, C) for some of a batch: `rows` (n,) index examples, or tokens when the task is tagged."""

    task: int
    rows: Tensor
    logits: Tensor


def frozen_layers(what: str, depth: int, *, shared: bool) -> int:
    """How many lower layers keep the weights of the pre-trained model, for a value of the setting `freeze`.

    Args:
        depth: how many layers the model has.
        shared: all its layers are one set of weights, as in ALBERT.

    Raises:
        ValueError: more layers than there are, or some of those that share their weights.
    """
    if what in ("none", "embeddings", "all"):
        return depth if what == "all" else 0
    (number,) = layers(what, depth)
    if shared:
        raise ValueError(f"must be none or embeddings, for the layers of this model share their weights, but is {what}")
    return number


class Body(nn.Module):
    """The pre-trained layers: a batch in, flat token states out.

    Args:
        dropout: for every dropout layer; None = as the model's configuration says.
        precision: ``fp32``, ``bf16`` (float32 weights under autocast) or ``fp64``.
        exact: plain matrix attention in full precision, for second derivatives and forward mode.

    Attributes:
        inside: what changes the states at the end of every layer (see `Inside`), as adapters do; None = nothing. A
            module becomes a part of this one. Its attribute `lowest`, where it has one, is the lowest layer at
            whose end it changes anything.
        constant: how many of the lowest layers make the same of an example at all times, for they are never trained and
            drop nothing. What they make of a batch is then not computed where the batch brings it (`Batch.states`).
    """

    inside: Any
    constant: int

    def __init__(self, plm: PLM, *, dropout: float | None = None, precision: str = "fp32", exact: bool = False) -> None:
        super().__init__()
        with _LOCK:
            model: Any = copy.deepcopy(_template(plm))
        self.model: Any = model
        self.plm, self.architecture = plm, ARCHITECTURES[plm.family]
        config = model.config
        self.hidden, self.depth = int(config.hidden_size), int(config.num_hidden_layers)  # DistilBERT's names too
        self.exact, self.autocast = exact, precision == "bf16" and not exact
        self.inside, self.constant = None, 0
        self.dropout = float(getattr(config, self.architecture.dropout) if dropout is None else dropout)
        if dropout is not None:
            self._set_dropout(dropout, [self.model])
        if precision == "fp64":
            self.double()

    def _set_dropout(self, p: float, of: Iterable[nn.Module]) -> None:
        m: Any
        for m in [inner for module in of for inner in module.modules()]:
            if isinstance(m, nn.Dropout):
                m.p = p
            if hasattr(m, "out_drop"):  # ModernBERT's attention keeps its rate as a number, and of 0 no layer at all
                m.attention_dropout, m.out_drop = p, nn.Dropout(p)

    @property
    def packed(self) -> bool:
        """Whether the texts of a batch stand in one row, so that none is padded but inside attention."""
        return FAMILIES[self.plm.family].packed

    @property
    def attention(self) -> str:
        """By what attention is computed while this body is trained (see `attention_kernel`), in words."""
        if not self.packed:
            return "padded"
        dtype = torch.bfloat16 if self.autocast else self.anchor.dtype
        rates = (getattr(self.model.config, "attention_probs_dropout_prob", 0.0), self.dropout)
        dropout = min(rates)
        return attention_kernel(self.anchor.device.type, dtype, exact=self.exact, dropout=dropout)

    @property
    def anchor(self) -> Tensor:
        """A parameter, for its device and dtype."""
        return next(self.model.parameters())  # type: ignore[no-any-return]

    def restart(self) -> None:
        """Give every weight of the model the value back that it had before any training."""
        self.model.load_state_dict(_template(self.plm).state_dict())

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table whose rows the token ids name."""
        table = self.model.get_input_embeddings()
        assert isinstance(table, nn.Embedding)
        return table

    def freeze(self, what: str) -> None:
        """Say what is not trained; everything else is, whatever an earlier call said.

        Args:
            what: ``none``; ``embeddings``: their tables and their LayerNorm; ``all``; or these and the lower layers:
                a number of layers, or a fraction of the depth, as text (``3``, ``1/2``).

        Raises:
            ValueError: a layer beyond the depth, or lower layers of a model whose layers share their weights (ALBERT).
        """
        self.model.requires_grad_(what != "all")
        if what in ("none", "all"):
            return
        lower = 0
        if what != "embeddings":
            lower = frozen_layers(what, self.depth, shared=self.plm.shared_layers)
        for module in self.architecture.frozen_with(self.model, lower):
            module.requires_grad_(False)

    def undropped(self, what: str) -> None:
        """Have what `freeze` would freeze drop nothing, from now on.

        Raises:
            ValueError: as `freeze`.
        """
        if what == "none":
            return
        lower = frozen_layers(what, self.depth, shared=self.plm.shared_layers)
        self._set_dropout(0.0, [self.model] if what == "all" else self.architecture.frozen_with(self.model, lower))

    @contextmanager
    def _with(self, inside: Inside | None, first: int) -> Iterator[None]:
        """While open, the model's layers, of which the lowest is number `first`, end with `inside`."""
        layers = count(first)
        hooks = [] if inside is None else self.architecture.ends_of(self.model)
        handles = [
            norm.register_forward_hook(lambda norm, args, states: inside(next(layers), args[0], states, norm))  # type: ignore[misc]
            for norm in hooks
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, batch: Batch, layers: Sequence[int] = (), inside: Inside | None = None) -> tuple[Tensor, ...]:
        """Flat token states (T, H) of each asked layer: 1..depth, 0 = embeddings; by default the last.

        Args:
            inside: for this pass, in the place of the attribute.

        Raises:
            ValueError: a layer beyond the depth.
        """
        if bad := [n for n in layers if not 0 <= n <= self.depth]:
            raise ValueError(f"layers must be in [0, {self.depth}], but got {bad}")
        device, dtype = self.anchor.device, self.anchor.dtype
        packing = _Packing.of(batch.offsets, self.exact, device)
        inputs = self._flat(batch, packing) if self.packed else self._padded(batch, packing)
        inside = self.inside if inside is None else inside
        known = batch.layers if self._may_start_above(batch, layers, inside) else 0
        if known == self.depth:  # nothing is left to compute
            given = batch.to(device).states
            assert given is not None
            return (given.to(dtype),) * max(1, len(layers))
        start = self._above(known, batch.to(device).states, packing) if known else nullcontext()
        with start, self._with(inside, known + 1), torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            out = self.model(**inputs, output_hidden_states=any(known < n < self.depth or not known for n in layers))

        def flat(n: int) -> Tensor:
            if known and n == known:
                given = batch.to(device).states
                assert given is not None
                return given
            states = out.last_hidden_state if n == self.depth else out.hidden_states[n - known]
            return states[0] if self.packed else packing.tokens(states)

        return tuple(flat(n).to(dtype) for n in layers or (self.depth,))

    def _may_start_above(self, batch: Batch, layers: Sequence[int], inside: Inside | None) -> bool:
        """Whether the states that a batch brings are those that this pass would compute, and nothing below is asked."""
        if batch.states is None or not 0 < batch.layers <= self.constant:
            return False
        changed = self.depth + 1 if inside is None else getattr(inside, "lowest", 1)
        # a LayerNorm behind the last layer, which is no layer's, would be computed twice
        most = self.depth if self.architecture.end else self.depth - 1
        return batch.layers < changed and batch.layers <= min(most, min(layers, default=self.depth))

    @contextmanager
    def _above(self, known: int, states: Tensor | None, packing: _Packing) -> Iterator[None]:
        """While open, the model has no layers but those above the lowest `known`, which gave `states` (T, H)."""
        assert states is not None
        given = states.to(self.anchor)
        below = _Given(given[None] if self.packed else packing.padded_states(given))
        with self._replaced(self.architecture.layers_of(self.model)[known:], below):
            yield

    @contextmanager
    def _replaced(self, layers: Sequence[nn.Module], below: nn.Module | None) -> Iterator[None]:
        """While open, the model has these layers instead of all, and `below` them, where it is said, that alone."""
        new: dict[str, nn.Module | None] = {self.architecture.layers: nn.ModuleList(layers)}
        if below is not None:
            first, *others = self.architecture.below
            new |= {
                first: below,
                **dict.fromkeys(others, nn.Identity()),
                **dict.fromkeys(self.architecture.behind_first),
            }
        places = [(self.model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in new]
        # the modules keep their weights and their names: only the way through them is another for this pass
        old = [(owner, name, owner._modules.get(name)) for owner, name in places if name in owner._modules]
        try:
            for (owner, name), module in zip(places, new.values(), strict=True):
                if name in owner._modules:
                    owner._modules[name] = module
            yield
        finally:
            for owner, name, module in old:
                owner._modules[name] = module

    def lower_states(self, batch: Batch, layers: int) -> Float[Tensor, "t h"]:
        """What the lowest `layers` layers make of a batch, without computing those above."""
        # where a LayerNorm stands behind the last layer of all, the states before it are those that a next layer reads
        lowest = self.architecture.layers_of(self.model)[: layers + (not self.architecture.end)]
        with self._replaced(lowest, None):
            return self(batch, (layers,))[0]  # type: ignore[no-any-return]

    def _flat(self, batch: Batch, packing: _Packing) -> dict[str, Any]:
        """All tokens in one row, each with its position within its example."""
        there, offsets = batch.to(packing.place.device), batch.offsets
        positions = torch.arange(len(batch.ids), device=offsets.device) - offsets[batch.owner]
        inputs: dict[str, Any] = {
            "input_ids": there.ids[None],
            "position_ids": placed(positions + self.plm.first_position, there.ids.device)[None],
            "packing": packing,
            **{k: v[None] for k, v in self._segments(there.types).items()},
        }
        if self.architecture.masks:  # attention has its own, see `_packed_attention`
            inputs["attention_mask"] = dict.fromkeys(self.architecture.masks)
        return inputs

    def _padded(self, batch: Batch, packing: _Packing) -> dict[str, Any]:
        """One row for each example, all as long as the longest."""
        there = batch.to(packing.place.device)
        return {
            "input_ids": packing.rectangle(there.ids),
            "attention_mask": packing.real,
            **{k: packing.rectangle(v) for k, v in self._segments(there.types).items()},
        }

    def _segments(self, types: Tensor) -> dict[str, Tensor]:
        """The segment of each token, as far as the model tells segments apart."""
        if not self.plm.segments:
            return {}
        return {"token_type_ids": types if self.plm.segments > 1 else torch.zeros_like(types)}

    def pooler(self, first: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
        """The model's own pooler over states of [CLS], or the new one of an architecture without."""
        inner = self.model.pooler
        if isinstance(inner, NewPooler):
            return inner(first)  # type: ignore[no-any-return]
        # BERT's is a module of dense and tanh, ALBERT's a bare Linear beside its activation
        if isinstance(inner, nn.Linear):
            return self.model.pooler_activation(inner(first))  # type: ignore[no-any-return]
        return inner.activation(inner.dense(first))  # type: ignore[no-any-return]


def untrained_body(
    plm: PLM,
    inputs: int | None,
    seed: int,
    *,
    dropout: float | None = None,
    precision: str = "fp32",
    exact: bool = False,
) -> Body | MLP:
    """The body of a model before any training: the pre-trained layers, or for ``mlp:WIDTH`` random ones.

    Args:
        inputs: the numbers of a vector, where the examples are vectors; `seed` is read for these alone.
        dropout, precision, exact: see `Body` and `MLP`.
    """
    if not plm.width:
        return Body(plm, dropout=dropout, precision=precision, exact=exact)
    assert inputs is not None, "an MLP reads vectors"
    return MLP(inputs, plm.width, seed, dropout=dropout, precision=precision, exact=exact)


class Encoder(nn.Module):
    """A `Body`, or an `MLP` over vectors, and one linear head per task.

    Args:
        outputs: the width of each task's head, in suite order.
        kinds: ``classification``, ``tagging`` or ``regression`` per task.
        feature: what a head over an example reads: the model's ``pooler``, the raw ``cls`` state, or the ``mean``.
    """

    def __init__(self, body: Body | MLP, outputs: Sequence[int], kinds: Sequence[str], feature: str = "pooler") -> None:
        super().__init__()
        self.body, self.kinds, self.reads = body, tuple(kinds), feature
        self.dropout = nn.Dropout(body.dropout)
        self.heads = nn.ModuleList(nn.Linear(body.hidden, n) for n in outputs)
        self.heads.to(body.anchor)

    def head(self, task: int) -> nn.Linear:
        """The head of one task."""
        head = self.heads[task]
        assert isinstance(head, nn.Linear)
        return head

    def fresh_head(self, task: int, generator: torch.Generator) -> None:
        """Replace a head by a new one, N(0, 0.02) weights and zero bias as BERT's, from `generator` alone."""
        head = self.head(task)
        with torch.no_grad():
            head.weight.copy_(0.02 * torch.randn(head.weight.shape, generator=generator, dtype=torch.float64))
            head.bias.zero_()

    def forward(self, batch: Batch, layers: Sequence[int] = (), inside: Inside | None = None) -> tuple[Tensor, ...]:
        """Flat token states, as `Body.forward`."""
        return self.body(batch, layers, inside)  # type: ignore[no-any-return]

    def feature(self, states: Float[Tensor, "t h"], offsets: Int[Tensor, "b_plus_1"]) -> Float[Tensor, "b h"]:
        """What a head over an example reads of the last layer's states."""
        offsets = placed(offsets, states.device)
        if self.reads == "mean":
            return pool(states, offsets)
        first = states.index_select(0, offsets[:-1])
        return first if self.reads == "cls" else self.body.pooler(first)

    def answers(
        self, batch: Batch, states: Float[Tensor, "t h"] | None = None, head: int | None = None
    ) -> list[Answers]:
        """Logits of each example's own head, one `Answers` per task in the batch.

        Args:
            states: last-layer states (T, H), where the caller has them already.
            head: answer every example with this head instead.
        """
        if len(batch) == 0:
            return []
        states = self(batch)[0] if states is None else states
        device = states.device
        task = batch.task if head is None else torch.full_like(batch.task, head)
        feature: Tensor | None = None
        out = []
        for t in sorted(set(task.tolist())):
            mine = task == t
            if self.kinds[t] == "tagging":
                rows = placed((mine[batch.owner] & (batch.tags != IGNORED)).nonzero().squeeze(1), device)
                x = states.index_select(0, rows)
            else:
                feature = self.feature(states, batch.to(device).offsets) if feature is None else feature
                rows = placed(mine.nonzero().squeeze(1), device)
                x = feature.index_select(0, rows)
            out.append(Answers(t, rows, self.head(t)(self.dropout(x))))
        return out


def token_budget(lengths: Sequence[int], tokens: int = 2048) -> Iterator[slice]:
    """Cut a run of examples into consecutive slices of at most `tokens` tokens (one example at least)."""
    start = used = 0
    for i, n in enumerate(lengths):
        if i > start and used + n > tokens:
            yield slice(start, i)
            start, used = i, 0
        used += n
    if start < len(lengths):
        yield slice(start, len(lengths))
