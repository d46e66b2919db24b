"""A PyTorch module as a table of operators: run once on the meta device, which has shapes and no values.

FLOPs are those of ``torch.utils.flop_counter``, whose convention is ours (2 a multiply-accumulate); attention is
counted over all pairs, masked ones too, where the module computes them.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.models.network import Layer, NetworkSpec

_KINDS = {
    "convolution": "conv",
    "addmm": "linear",
    "mm": "linear",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "embedding": "lookup",
    "native_layer_norm": "norm",
    "native_batch_norm": "norm",
    "native_group_norm": "norm",
    "_softmax": "softmax",
    "add": "add",
    "cat": "copy",
    "clone": "copy",
    "copy_": "copy",
    "constant_pad_nd": "copy",
    "max_pool2d_with_indices": "pool",
    "avg_pool2d": "pool",
    "mean": "reduce",
    "sum": "reduce",
}
_MAKE_NOTHING = ("detach", "lift_fresh", "alias", "empty", "arange", "full", "zeros", "ones", "scalar_tensor")


def from_torch(
    module: Any, *inputs: Any, name: str = "", sample: str = "sample", batch_size: int = 1, **named_inputs: Any
) -> NetworkSpec:
    """Return a ``torch.nn.Module`` as a :class:`NetworkSpec`: one row a kind of operator of each of its submodules.

    Parameters
    ----------
    module
        The module, on any device; it is not changed, and its weights are neither read nor copied.
    inputs, named_inputs
        Example inputs of ``forward``; of tensors only shape and type count.
    name, sample
        Name of the spec, and what it takes one of.
    batch_size
        Samples that the example inputs hold.

    Raises
    ------
    MissingExtra
        PyTorch is not installed.
    InvalidValue
        No module; or its ``forward`` fails without values: it looks into its data, or the inputs do not fit.
    """
    try:
        import torch
        from torch.utils import _pytree as tree
    except ImportError:
        raise MissingExtra("torch", "pip install torch", "reading a torch module") from None

    if not isinstance(module, torch.nn.Module):
        made = isinstance(module, type) and issubclass(module, torch.nn.Module)
        hint = f"make one first: {module.__name__}(...)" if made else ""
        raise InvalidValue("module", "a torch.nn.Module", module, hint)

    def on_meta(value: Any) -> Any:
        return value.detach().to("meta") if isinstance(value, torch.Tensor) else value

    stored = {key: on_meta(tensor) for key, tensor in (*module.named_parameters(), *module.named_buffers())}
    owned = {key: stored[key] for key, _ in module.named_parameters()}
    arguments, words = tree.tree_map(on_meta, (inputs, named_inputs))
    recorder = _recorder(owned)
    was_training = module.training
    try:
        module.eval()
        with torch.no_grad(), recorder:
            torch.func.functional_call(module, stored, arguments, words)
    except Exception as problem:  # of any kind: it is the module's own code that fails
        hint = f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
        raise InvalidValue("module", "one that runs on the meta device", type(module).__name__, hint) from problem
    finally:
        module.train(was_training)
    table = _table(recorder.rows, owned, batch_size)
    today = datetime.now(tz=UTC).date().isoformat()
    title = type(module).__name__
    return NetworkSpec(
        name or title.lower(), table, sample, title=title, source=f"torch module {title}", retrieved=today,
        note="counted on the meta device; attention over all pairs",
    )  # fmt: skip


def _recorder(owned: dict[str, Any]) -> Any:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    names = {tensor.untyped_storage()._cdata: key for key, tensor in owned.items()}

    class Recorder(TorchDispatchMode):  # type: ignore[misc]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[tuple[str, str, int, tuple[str, ...], int, int, tuple[int, ...]]] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.note(func, [*_tensors(args), *_tensors(kwargs)], _tensors(out), args, kwargs or {}, out)
            return out

        def note(self, func: Any, read: list[Any], made: list[Any], args: Any, kwargs: Any, out: Any) -> None:
            before = {t.untyped_storage()._cdata for t in read}
            word = func.overloadpacket.__name__
            new = [t for t in made if t.untyped_storage()._cdata not in before or word.endswith("_")]
            if not new or word.startswith(_MAKE_NOTHING):
                return
            count = flop_registry.get(func.overloadpacket)
            flops = int(count(*args, **kwargs, out_val=out)) if count else 0
            used = tuple(names[c] for t in read if (c := t.untyped_storage()._cdata) in names)
            others = sum(t.numel() for t in read if t.untyped_storage()._cdata not in names)
            shape = tuple(next((t.shape for t in read if t.untyped_storage()._cdata in names), ()))
            self.rows.append((word, self.where(used), flops // 2, used, others, sum(t.numel() for t in new), shape))

        @staticmethod
        def where(used: tuple[str, ...]) -> str:
            return used[0].rpartition(".")[0] if used else ""

    def _tensors(value: Any) -> list[Any]:
        from torch.utils import _pytree as tree

        return [leaf for leaf in tree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]

    return Recorder()


def _table(rows: list[Any], owned: dict[str, Any], batch: int) -> tuple[Layer, ...]:
    """Return recorded operators as layers of one sample; each parameter counts once, at its first use."""
    seen: set[str] = set()
    layers = []
    for word, where, macs, used, read, written, shape in rows:
        new = set(used) - seen
        seen |= new
        parameters = sum(owned[key].numel() for key in new)
        kind = _KINDS.get(word, "elementwise")
        if kind in {"linear", "matmul"}:
            kind = "linear" if used else "matmul"
        if kind == "conv" and len(shape) > 2 and shape[1] == 1 and shape[0] > 1:
            kind = "depthwise"
        touched = written // batch if kind == "lookup" and parameters else None
        layers.append(
            Layer(
                f"{where}.{word}" if where else word,
                kind,
                macs // batch,
                parameters,
                read // batch,
                written // batch,
                1,
                touched,
            )
        )
    idle = sum(tensor.numel() for key, tensor in owned.items() if key not in seen)
    if idle:
        layers.append(Layer("not used by these inputs", "idle", 0, idle, 0, 0, 1, 0))
    return merged(layers)


def merged(layers: list[Layer]) -> tuple[Layer, ...]:
    """Return layers of which those alike in all but their name are one row, counted."""
    counts = Counter(layer[1:] for layer in layers)
    first: dict[tuple[Any, ...], str] = {}
    for layer in layers:
        first.setdefault(layer[1:], layer.name)
    return tuple(Layer(first[key], *key)._replace(times=counts[key] * key[5]) for key in first)
