"""Run a module like `python -m`, with FSDP on CPUs, and print what shared the training.

python shard_on_cpu.py gpt2_finetune.train --device cpu

accelerate ignores FSDP where several processes use CPUs, although torch supports it there.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

join = PartialState.__init__


def join_as_on_gpus(state: PartialState, *args: Any, **kwargs: Any) -> None:
    join(state, *args, **kwargs)
    if state.distributed_type is DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = join_as_on_gpus  # type: ignore[method-assign]
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(f"trained with {AcceleratorState().distributed_type.value}")
