"""Train a small decoder-only language model from scratch, with a hand-written loop.

    python -m scratch_lm.train                          # the course's reference model, 5 epochs
    python -m scratch_lm.train --preset tuned           # the best recipe for 10 minutes
    python -m scratch_lm.train --corpus my-novel.txt    # your own text
    python -m scratch_lm.train --resume                 # continue after an interruption
    torchrun --nproc-per-node 2 -m scratch_lm.train     # several processes share each batch

Writes `runs/scratch_lm/<preset>-seed<seed>/`; `compare.runs.writer` describes its contents.
"""

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions

if __name__ == "__main__":  # before importing torch, so that --help is fast
    options = cli.parse(ScratchOptions, PRESETS)

import math
import time
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Tokenizer

from compare import corpus as corpora
from compare.corpus import Corpus
from compare.corpus.blocks import IGNORED, require_one_block
from compare.corpus.subsets import training_subset
from compare.device import choose_device
from compare.errors import Misuse
from compare.freed_memory import keep_freed_memory
from compare.kinds import RowKind, Track
from compare.ruler import flops, sampling, scoring
from compare.ruler.metrics import Metrics
from compare.runs import start as run_start
from compare.runs.writer import Run
from compare.signals import Interruption
from scratch_lm import distillation, parallel, token_cache
from scratch_lm.averaging import make_average
from scratch_lm.batches import Batch, count_steps_per_epoch, epoch_batches, first_drills
from scratch_lm.copy_exercises import FIRST_DRILL_STEPS, Speakers
from scratch_lm.distillation import SoftTargets, Teacher
from scratch_lm.dropout import dropout_seed
from scratch_lm.journal import Journal, Observer, StepResult
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import make_optimizers, set_learning_rate

LOGGING_STEPS = 50
MAX_GRAD_NORM = 1.0


def train(options: ScratchOptions, observe: Observer | None = None) -> Run:
    """Train, evaluate after every epoch, save the best epoch's model, and return the run.

    `observe` is called with the model after each log line, and must not modify the model.
    """
    device = choose_device(options.device)
    corpus = corpora.load(options.corpus)
    corpus = training_subset(corpus, options.train_share, options.leave_out)
    tokenizer, ids = prepare_data(options, corpus)
    parallel.init_process_group(device)  # also selects this process's GPU
    teachers = distillation.load_teachers(options, corpus, tokenizer)
    torch.manual_seed(options.seed)
    model = build_model(options, tokenizer.eos_token_id)
    model.to(device)  # type: ignore[arg-type]  # transformers hides the signature of nn.Module.to
    optimizers = make_optimizers(model, options)

    run = start_run(options, corpus, model, teachers)
    if run.complete:
        return run
    steps_per_epoch = count_steps_per_epoch(len(ids), options)
    total_steps = options.epochs * steps_per_epoch
    average = make_average(model, options.averaging)
    journal = Journal(
        run, model, average, optimizers, len(corpus.train), len(ids), steps_per_epoch, observe
    )
    progress = journal.restore()
    run.rewind(progress.characters_seen, progress.epochs)
    run.start_tracking(options)

    soft_targets = None
    if teachers:
        soft_targets = distillation.compute_soft_targets(teachers, tokenizer.eos_token_id, ids)
    speakers = Speakers(ids, tokenizer) if options.rename else None
    keep_freed_memory()
    # The same weights, wrapped for several processes and compiled.  `model` itself, or its average,
    # is what is evaluated and saved.
    network = parallel.wrap(model)
    if options.compile:
        network = cast(nn.Module, torch.compile(network))
    sample_settings = sampling.Settings(characters=options.sample_characters, seed=options.seed)
    interruption = Interruption()
    if options.drills and not progress.step:
        progress.seconds = drill(network, optimizers, options, total_steps, run, interruption)

    for epoch in range(progress.epochs + 1, options.epochs + 1):
        if journal.should_stop_early(options.patience):
            break
        # More than 0 if the run was interrupted in this epoch.
        finished_steps = progress.step - (epoch - 1) * steps_per_epoch
        batches = epoch_batches(
            ids, tokenizer.eos_token_id, options, epoch, finished_steps, speakers
        )
        bar = progress_bar(
            batches, f"epoch {epoch}/{options.epochs}", steps_per_epoch, finished_steps
        )
        journal.restart_timer()
        model.train()
        for batch in bar:
            learning_rate = set_learning_rate(
                optimizers, progress.step, total_steps, options.warmup_steps
            )
            torch.manual_seed(dropout_seed(options.seed, progress.step, parallel.RANK))
            result = train_step(network, optimizers, batch, options.precision, soft_targets)
            journal.count_step(result)
            if average is not None:
                average.update_parameters(model)

            is_epoch_end = progress.step == epoch * steps_per_epoch
            stop_signal = interruption.signal_of_any_process()
            checkpoint_is_due = stop_signal or progress.step % options.checkpoint_steps == 0
            if progress.step % LOGGING_STEPS == 0 or checkpoint_is_due or is_epoch_end:
                journal.log(learning_rate, bar)
            if checkpoint_is_due and not is_epoch_end:
                journal.save_checkpoint()
            if stop_signal and not is_epoch_end:
                raise run.interrupted(stop_signal)

        evaluated = journal.evaluated_model
        metrics = evaluate(evaluated, tokenizer, corpus)
        run.add_samples(sampling.samples(evaluated, tokenizer, corpus, epoch, sample_settings))
        journal.finish_epoch(metrics)
        stop_signal = interruption.signal_of_any_process()  # again, after the evaluation
        if stop_signal:
            raise run.interrupted(stop_signal)

    interruption.restore_handlers()  # `finish` may wait for W&B: Ctrl-C ends that, too
    journal.restore_best()
    run.save_model(model, tokenizer)
    run.finish()
    return run


def train_step(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    batch: Batch,
    precision: str = "fp32",
    soft_targets: SoftTargets | None = None,
) -> StepResult:
    """Update the weights once on a batch.

    The loss is the mean cross-entropy over all targets.  With the teachers' `soft_targets`, the
    distillation loss replaces a part of it.  If the gradient is NaN or infinite, the weights are
    left unchanged; the caller has to check the norm in the result.

    Several processes share the rows.  DistributedDataParallel averages gradients over processes.
    To obtain the gradient of the mean loss over the whole batch, each process divides its summed
    loss by the number of targets in the whole batch and multiplies it by the number of processes.
    """
    # The loss includes all targets; only those from the text are counted in the log.
    num_targets = int((batch.targets != IGNORED).sum())
    num_text_targets = int(((batch.targets != IGNORED) & (batch.positions >= 0)).sum())
    device = next(network.parameters()).device
    inputs, targets, positions = (parallel.shard(rows).to(device) for rows in batch)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = network(inputs).logits.float()
    nats = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    loss = nats.sum()
    if soft_targets:
        looked_up = soft_targets.lookup(batch.positions, batch.targets)
        tokens, probabilities = (parallel.shard(rows).to(device) for rows in looked_up)
        distillation_loss = distillation.soft_cross_entropy(logits, targets, tokens, probabilities)
        loss = torch.lerp(loss, distillation_loss, distillation.DISTILLATION_WEIGHT)
    (loss * (parallel.WORLD_SIZE / num_targets)).backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), MAX_GRAD_NORM).item()
    for optimizer in optimizers:
        if math.isfinite(norm):
            optimizer.step()
        optimizer.zero_grad()
    text_nats = parallel.all_reduce_sum(nats.detach()[positions.flatten() >= 0].sum())
    return StepResult(text_nats, num_text_targets, norm)


def drill(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    options: ScratchOptions,
    total_steps: int,
    run: Run,
    interruption: Interruption,
) -> float:
    """Train on copying exercises alone, before the text, and return the seconds this took.

    The learning rate follows the beginning of a schedule of `total_steps` steps.  There is no
    checkpoint yet: if these steps are interrupted, training restarts from the beginning.

    Raises Diverged if a gradient is NaN or infinite, and Interrupted after a signal.
    """
    began = time.perf_counter()
    bar = progress_bar(first_drills(options), "drills", FIRST_DRILL_STEPS, leave=False)
    for number, batch in enumerate(bar):
        set_learning_rate(optimizers, number, total_steps, options.warmup_steps)
        result = train_step(network, optimizers, batch, options.precision)
        run.require_finite(f"the gradient of drill {number + 1}", result.gradient_norm)
        if stop_signal := interruption.signal_of_any_process():
            raise run.interrupted(stop_signal)
    return time.perf_counter() - began


def evaluate(model: ScratchLM, tokenizer: GPT2Tokenizer, corpus: Corpus) -> Metrics:
    """Return the metrics of `model` on the validation split.

    Every process computes them, because the others would only wait for the main process.
    """
    label = "validation" if parallel.IS_MAIN_PROCESS else None
    return scoring.score(model, tokenizer, corpus.validation, label=label).metrics


def progress_bar(
    batches: Iterable[Batch],
    label: str,
    total_steps: int,
    finished_steps: int = 0,
    leave: bool = True,
) -> tqdm:
    """Return `batches` with a progress bar, which the main process shows on a terminal.

    With `leave`, the bar stays visible when it has ended.
    """
    # tqdm takes None as "disabled unless stderr is a terminal".
    disable = None if parallel.IS_MAIN_PROCESS else True
    return tqdm(
        batches,
        label,
        total_steps,
        initial=finished_steps,
        leave=leave,
        disable=disable,
    )


def prepare_data(options: ScratchOptions, corpus: Corpus) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Return the tokenizer and the token ids of the training split, a 1-D integer array.

    Raises Misuse if the text is too short, or has too little variety to fill the vocabulary.
    """
    try:
        tokenizer, ids = token_cache.load_or_train(
            corpus.train, options.vocabulary, options.context_length
        )
        length, shorter = options.context_length, "a shorter --context-length"
        require_one_block(len(ids), length, shorter)
        scoring.require_one_window(tokenizer, corpus.validation, length, shorter)
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None
    return tokenizer, ids


def build_model(options: ScratchOptions, end_of_text_id: int) -> ScratchLM:
    """Build a randomly initialized model."""
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
            convolutions=options.convolutions,
            query_key_norm=options.query_key_norm,
            embedding_skips=options.embedding_skips,
            initializer_range=options.init_std,
            bos_token_id=end_of_text_id,
            eos_token_id=end_of_text_id,
        )
    )


def start_run(
    options: ScratchOptions, corpus: Corpus, model: ScratchLM, teachers: list[Teacher]
) -> Run:
    """Create the run, or reopen the one to resume; the main process does so before the others."""
    run = None
    if parallel.IS_MAIN_PROCESS:
        run = run_start.start(
            Track.SCRATCH,
            f"{options.preset}{run_start.subset_suffix(options)}-seed{options.seed}",
            options,
            corpus,
            command=cli.command_line(Track.SCRATCH.command, options, PRESETS),
            preset=RowKind(options.preset),
            teachers_sha256=[teacher.weights_sha256 for teacher in teachers],
            parameters=flops.count_parameters(model),
        )
        print(
            f"{run.path}: {run.start_mode}; {run.record.parameters.total:,} parameters; "
            f"text from {corpus.source}"
        )
    path = parallel.from_main_process(run.path if run else None)
    if run is None:
        assert path is not None, "the main process has started the run"
        run = run_start.open_read_only(path)
    return run


if __name__ == "__main__":
    cli.run(train, options)
