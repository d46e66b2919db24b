"""How software lays a workload out: the engine that runs it, and the plan by which devices share it."""

from __future__ import annotations

from typing import NamedTuple


class Setup(NamedTuple):
    """The engine and the parallel plan of a run; 0 and empty text where they are not known.

    ``engine`` is the serving engine, training framework or kernel library, in lower case (``vllm``, ``megatron``);
    ``tp``, ``pp``, ``dp``, ``cp`` and ``ep`` the degrees of tensor, pipeline, data, context and expert parallelism;
    ``vpp`` the pipeline stages a device holds in turn; ``zero`` the stage at which optimizer states (1), gradients
    (2) and weights (3) are sharded; ``micro_batch`` the sequences that one model replica takes at once. Where
    ``layer_split``, devices hold whole layers and run one after another.
    """

    engine: str = ""
    version: str = ""
    tp: int = 0
    pp: int = 0
    dp: int = 0
    cp: int = 0
    ep: int = 0
    vpp: int = 0
    zero: int = 0
    micro_batch: int = 0
    layer_split: bool = False


UNKNOWN = Setup()
