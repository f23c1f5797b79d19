"""Train a small decoder-only language model from scratch, with a hand-written loop.

    python -m scratch_lm.train                          # the course's reference model, 5 epochs
    python -m scratch_lm.train --preset tuned           # the best found within 5 minutes
    python -m scratch_lm.train --corpus my-novel.txt    # your own text
    python -m scratch_lm.train --resume                 # go on after an interruption
    torchrun --nproc-per-node 2 -m scratch_lm.train     # several processes, the same losses

Writes `runs/scratch_lm/<preset>-seed<seed>/`; see `compare.runs` for what is in it.
"""

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions

if __name__ == "__main__":  # before torch is imported, so that --help answers at once
    options = cli.parse(ScratchOptions, PRESETS)

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Tokenizer

from compare import corpus as corpora
from compare.corpus.blocks import IGNORED
from compare.device import choose_device
from compare.errors import Interrupted, Misuse
from compare.ruler import flops, sampling, scoring
from compare.runs import models, tracking, writer
from compare.runs import start as run_start
from compare.signals import Interruption
from scratch_lm import distillation, parallel
from scratch_lm.batches import epoch_batches, steps_per_epoch
from scratch_lm.cache import encoded
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratch_lm.copying import FIRST_STEPS, Speakers, first_drills
from scratch_lm.dropout import dropout_seed
from scratch_lm.malloc import keep_freed_memory
from scratch_lm.meter import Meter
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import optimizers, set_learning_rate

LOG_STEPS = 50
CLIP = 1.0  # largest gradient norm


def train(options: ScratchOptions) -> None:
    """Train, evaluate after every epoch, and save the best epoch's model."""
    device = choose_device(options.device)
    corpus = corpora.load(options.corpus)
    tokenizer, ids = prepare(corpus, options)
    teachers = distillation.folders(options, corpus, tokenizer)
    parallel.join(device)
    torch.manual_seed(options.seed)
    model = build(options, tokenizer.eos_token_id).to(device)
    made = optimizers(model, options)

    run, state = parallel.first_then_others(
        lambda: start(model, corpus, options, teachers),
        lambda: run_start.newest("scratch_lm", run_name(options)),
    )
    if state == "complete":
        return
    checkpoint, best = run.checkpoint / "state.safetensors", run.checkpoint / "best.safetensors"
    progress = load_checkpoint(checkpoint, model, made) if checkpoint.exists() else Progress()
    if parallel.FIRST:
        run.rewind(progress.characters_seen, progress.epochs)
        run.tracker = tracking.Tracker(run.path, run.record, run.save, options)

    end = tokenizer.eos_token_id
    learnt = distillation.lessons(teachers, end, ids) if teachers else None
    speakers = Speakers(ids, tokenizer) if options.rename else None
    keep_freed_memory()
    network = parallel.wrapped(model)
    if options.compile:
        network = torch.compile(network)
    interruption = Interruption()
    per_epoch = steps_per_epoch(len(ids), options)
    if options.drills and not progress.step:
        began = time.perf_counter()
        bar = tqdm(first_drills(options), "drills", FIRST_STEPS, leave=False,
                   disable=None if parallel.FIRST else True)  # fmt: skip
        for number, batch in enumerate(bar):
            set_learning_rate(made, number, options.epochs * per_epoch, options.warmup_steps)
            step(network, made, *batch, options.precision)
            if stop := interruption.anywhere():  # before the first checkpoint: all begins anew
                raise Interrupted(stop, run.record["command"])
        progress.seconds = time.perf_counter() - began
    for epoch in range(progress.epochs + 1, options.epochs + 1):
        done = progress.step - (epoch - 1) * per_epoch
        batches = epoch_batches(ids, end, options, epoch, done, speakers)
        bar = tqdm(batches, f"epoch {epoch}/{options.epochs}", per_epoch, initial=done,
                   disable=None if parallel.FIRST else True)  # fmt: skip
        meter = Meter()
        model.train()
        for inputs, targets, places in bar:
            learning_rate = set_learning_rate(
                made, progress.step, options.epochs * per_epoch, options.warmup_steps
            )
            torch.manual_seed(dropout_seed(options.seed, progress.step, parallel.RANK))
            lesson = learnt.at(places, targets) if learnt else None
            batch = inputs, targets, places
            nats, tokens, norm = step(network, made, *batch, options.precision, lesson)
            progress.step += 1
            if parallel.FIRST:
                run.require_finite(nats, progress.step)
            meter.add(nats, tokens)

            last = progress.step == epoch * per_epoch
            stop = interruption.anywhere()
            keep = not last and (stop or progress.step % options.checkpoint_steps == 0)
            if progress.step % LOG_STEPS == 0 or keep or last:
                nats, tokens, seconds = meter.read()
                progress.nats += nats
                progress.tokens += tokens
                progress.seconds += seconds
                progress.characters_seen = round(progress.step / per_epoch * len(corpus.train))
                values = {
                    "step": progress.step,
                    "epoch": progress.step / per_epoch,
                    "characters_seen": progress.characters_seen,
                    "train/loss": nats / tokens,
                    "train/learning_rate": learning_rate,
                    "train/gradient_norm": norm,
                    "throughput/characters_per_second": round(
                        tokens / len(ids) * len(corpus.train) / seconds
                    ),
                }
                if parallel.FIRST:
                    run.log(values, bar)
            if keep and parallel.FIRST:
                save_checkpoint(checkpoint, model, made, progress)
            if stop and not last:
                raise Interrupted(stop, run.record["command"])

        line = {"epoch": epoch, "train_loss": progress.nats / progress.tokens,
                "characters_seen": progress.characters_seen,
                "seconds": round(progress.seconds, 3)}  # fmt: skip
        progress.epochs = epoch
        progress.nats, progress.tokens, progress.seconds = 0.0, 0, 0.0
        if parallel.FIRST:
            score = scoring.score(model, tokenizer, corpus.validation, label="validation")
            run.add_samples(sampling.samples(model, tokenizer, corpus, epoch, options.seed))
            run.add_epoch(line | {"eval": score.summary()})
            if run.record["best_epoch"] == epoch:
                save_checkpoint(best, model, [], progress)
            save_checkpoint(checkpoint, model, made, progress)
        if stop and epoch < options.epochs:
            raise Interrupted(stop, run.record["command"])

    if parallel.FIRST:
        load_checkpoint(best, model, [])
        run.save_model(model, tokenizer)
        run.finish()


def step(
    network: nn.Module,
    made: list[torch.optim.Optimizer],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    places: torch.Tensor,
    precision: str = "fp32",
    lesson: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[float, int, float]:
    """One update on a batch, (rows, context length) each.

    Returns the nats of the targets that are the text's own (`places` >= 0), their number, and the
    gradient's norm.  All targets make the loss, and where there is a `lesson`, it has its share.

    Several processes share the rows.  Gradients are averaged over processes, and their mean is to
    be that of the whole batch's mean loss, so each process's part counts as often as there are
    processes.
    """
    counted = int((targets != IGNORED).sum())
    own = int(((targets != IGNORED) & (places >= 0)).sum())
    device = next(network.parameters()).device
    inputs, targets, places, *lesson = (
        parallel.share(rows).to(device) for rows in (inputs, targets, places, *(lesson or ()))
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = network(inputs).logits.float()
    nats = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    loss = nats.sum()
    if lesson:
        loss = torch.lerp(loss, distillation.nats(logits, targets, *lesson), distillation.SHARE)
    (loss * (parallel.PROCESSES / counted)).backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP).item()
    for optimizer in made:
        optimizer.step()
        optimizer.zero_grad()
    return parallel.total(nats.detach()[places.flatten() >= 0].sum()), own, norm


def prepare(corpus: corpora.Corpus, options: ScratchOptions) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Tokenizer, and the token ids of the training split.

    Raises Misuse when the text is too short or too poor for the options.
    """
    try:
        tokenizer, ids = encoded(corpus.train, options.vocabulary, options.context_length)
        scoring.require_window(tokenizer, corpus.validation, options.context_length)
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None
    return tokenizer, ids


def run_name(options: ScratchOptions) -> str:
    """The run's directory, within its track's."""
    return f"{options.preset}-seed{options.seed}"


def start(
    model: ScratchLM, corpus: corpora.Corpus, options: ScratchOptions, teachers: list[Path]
) -> tuple[writer.Run, str]:
    """The run's record, and whether it is new, resumed or complete."""
    parameters = flops.parameters(model)
    run, state = run_start.start(
        "scratch_lm",
        run_name(options),
        options,
        corpus,
        preset=options.preset,
        teachers_sha256=[models.weights_sha256(folder) for folder in teachers],
        parameters=parameters,
    )
    print(f"{run.path}: {state}; {parameters['total']:,} parameters, from {corpus.source}")
    return run, state


def build(options: ScratchOptions, end_of_text: int) -> ScratchLM:
    """The model, with random weights."""
    return ScratchLM(
        ScratchConfig(
            vocab_size=options.vocabulary,
            max_position_embeddings=options.context_length,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            hidden_size=options.width,
            intermediate_size=options.feed_forward,
            dropout=options.dropout,
            distance_bias=options.distance_bias,
            smeared_keys=options.smeared_keys,
            initializer_range=options.init_std,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
        )
    )


if __name__ == "__main__":
    cli.run(train, options)
