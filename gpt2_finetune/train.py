"""Fine-tune GPT-2 on the study's corpus with the transformers Trainer.

    python -m gpt2_finetune.train                       # GPT-2, or offline the small stand-in
    python -m gpt2_finetune.train --base distilgpt2     # any causal language model
    python -m gpt2_finetune.train --lora                # train a few added weights
    python -m gpt2_finetune.train --corpus my-novel.txt # your own text
    python -m gpt2_finetune.train --resume              # go on after an interruption
    torchrun --nproc-per-node 2 -m gpt2_finetune.train  # several processes, the same losses

Writes `runs/gpt2_finetune/<base>-seed<seed>/`; see `compare.runs` for what is in it.
"""

from compare import cli
from gpt2_finetune.config import FinetuneOptions

if __name__ == "__main__":  # before torch is imported, so that --help answers at once
    options = cli.parse(FinetuneOptions)

import os
from dataclasses import replace

import torch
from accelerate import PartialState
from transformers import AutoModelForCausalLM, PrinterCallback, TrainingArguments
from transformers.trainer_callback import TrainerState

from compare import corpus as corpora
from compare.corpus.encoding import LossyTokenizer
from compare.device import choose_device
from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.ruler import flops, scoring
from compare.runs import start
from compare.runs.record import Parameters
from gpt2_finetune import defaults, low_rank
from gpt2_finetune.base import load_base
from gpt2_finetune.callbacks import (
    CheckpointCallback,
    RecordCallback,
    newest_checkpoint,
    out_of_patience,
)
from gpt2_finetune.dataset import dataset
from gpt2_finetune.lean import lean
from gpt2_finetune.trainer import ScoringTrainer


def train(options: FinetuneOptions) -> None:
    """Fine-tune, evaluate after every epoch, and save the best epoch's model."""
    # One, or those of torchrun and accelerate launch.
    device = choose_device(options.device)
    processes = PartialState(cpu=device.type == "cpu")
    if device.type == "cuda" and torch.cuda.device_count() > 1 and processes.num_processes == 1:
        raise Misuse(
            f"there are {torch.cuda.device_count()} GPUs and one process: start it with "
            "torchrun --nproc-per-node N -m gpt2_finetune.train, or set CUDA_VISIBLE_DEVICES=0"
        )
    if options.lora and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise Misuse("--lora trains few weights: it needs no FSDP, so start it with torchrun")
    corpus = corpora.load(options.corpus)
    model, tokenizer, base = load_base(options.base, options.dropout)
    model.to(device)
    if options.random_weights:
        torch.manual_seed(options.seed)
        config = model.config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(model.device)
    lean(model)
    parameters = flops.parameters(model)
    rate = defaults.learning_rate(parameters, options.random_weights, options.lora)
    if options.lora:
        model, parameters["trained"] = low_rank.added(model, options)
    options = replace(
        options,
        learning_rate=options.learning_rate or rate,
        precision=defaults.precision(device) if options.precision == "auto" else options.precision,
    )
    context_length = scoring.context_of(model)
    parts = options.accumulation * processes.num_processes
    rows = max(1, options.batch_tokens // context_length)
    if rows % parts:
        raise Misuse(
            f"--batch-tokens {options.batch_tokens} are {rows} rows of {context_length} tokens, "
            f"which {parts} parts (--accumulation, times processes) cannot share evenly"
        )
    try:
        data, cut, tokens = dataset(corpus, tokenizer, context_length, rows)
    except LossyTokenizer as error:
        raise Misuse(f"--base {options.base}: {error}") from None
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None

    suffix, kind = directory_suffix_and_kind(options)
    name = f"{base.resolved.replace('/', '--')}{suffix}-seed{options.seed}"
    with processes.main_process_first():
        if processes.is_main_process:
            run, state = start.start(
                Track.GPT2,
                name,
                options,
                corpus,
                preset=kind,
                base=base,
                parameters=Parameters(**parameters),
            )
        else:
            run, state = start.join(Track.GPT2, name)
    processes.print(
        f"{run.path}: {state}; base {base.resolved} ({base.source}), "
        f"{parameters['total']:,} parameters, {tokens:,} tokens from {corpus.source}, "
        f"{options.precision}"
    )
    if run.complete:
        return

    trainer = ScoringTrainer(
        model=model,
        run=run,
        corpus=corpus,
        precision=options.precision,
        processing_class=tokenizer,
        train_dataset=data,
        data_collator=cut,
        eval_dataset=data,  # not looked at: ScoringTrainer scores the validation text
        args=TrainingArguments(
            output_dir=str(run.checkpoint),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=rows // parts,
            gradient_accumulation_steps=options.accumulation,
            activation_checkpointing=options.gradient_checkpointing,
            use_cpu=device.type == "cpu",
            ddp_find_unused_parameters=False,
            learning_rate=options.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=options.warmup,
            weight_decay=options.weight_decay,
            seed=options.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_bits_per_byte",
            greater_is_better=False,
            logging_steps=20,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            dataloader_pin_memory=device.type == "cuda",
            report_to="none",
            disable_tqdm=True,  # RecordCallback shows the same as the scratch track
            log_level="error",
        ),
        callbacks=[CheckpointCallback(run, options)],
    )
    trainer.remove_callback(PrinterCallback)

    last = newest_checkpoint(run.checkpoint)
    reached = TrainerState()
    if last:
        reached = TrainerState.load_from_json(str(last / "trainer_state.json"))
    if run.writes:
        trainer.add_callback(RecordCallback(run, corpus))
    seen = round(reached.epoch * len(corpus.train)) if last else -1
    run.begin(options, seen, int(reached.epoch or 0))
    if run.writes and not last:
        score = scoring.score(model, tokenizer, corpus.validation, label="before training")
        run.log_zero_shot(score.metrics)

    if out_of_patience(reached, options):  # training had finished; the model was not saved
        trainer.restore_best(reached)
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    processes.print(
        f"best on validation: {trainer.state.best_model_checkpoint}, "
        f"{trainer.state.best_metric:.4f} bits/byte"
    )
    if options.lora:
        model = low_rank.merged(model)
    weights = trainer.accelerator.get_state_dict(model)  # gathered, where processes share them
    run.save_model(model, tokenizer, weights)
    run.finish()


def directory_suffix_and_kind(options: FinetuneOptions) -> tuple[str, RowKind]:
    """What tells this run's directory from the usual one, and the row that it belongs to."""
    if options.random_weights:
        return "-random", RowKind.RANDOM_WEIGHTS
    if options.lora:
        return "-lora", RowKind.LORA
    return "", RowKind.FINE_TUNED


if __name__ == "__main__":
    cli.run(train, options)
