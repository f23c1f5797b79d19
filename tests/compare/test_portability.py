"""Systems without symbolic links or the `resource` module, and systems with GPUs, simulated."""

from __future__ import annotations

import atexit
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from compare import device, errors, peak_memory
from compare.demo import turns
from compare.ruler.sampling import Settings
from compare.runs import latest
from gpt2_finetune import defaults
from scratch_lm import parallel
from tests.conftest import ON_CPU, Place

PACKAGES = ("compare", "scratch_lm", "gpt2_finetune")


# Refuses these imports to the project's own modules; libraries choose by `sys.platform`.
WITHOUT_UNIX = """
import builtins, importlib, sys

really = builtins.__import__

def refuse(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "").split(".")[0]
    if importer in %r and name in ("resource", "fcntl", "pwd", "grp", "termios"):
        raise ModuleNotFoundError(f"{globals['__name__']} needs {name}")
    return really(name, globals, locals, fromlist, level)

builtins.__import__ = refuse
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "gradio":  # an optional package
            raise
"""


def test_no_module_needs_what_only_unix_has() -> None:
    root = Path(__file__).parent.parent.parent
    modules = [
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX % (PACKAGES,), *modules],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def make_run(track: Path, name: str) -> Path:
    run = track / name
    run.mkdir(parents=True)
    return run


@pytest.mark.parametrize("links", [True, False])
def test_latest_names_the_newest_run_with_and_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(self: Path, target: str) -> None:
            raise OSError("a required privilege is not held by the client")

        monkeypatch.setattr(Path, "symlink_to", refuse)
    assert latest.latest_run(tmp_path) is None
    for name in ("course-seed1", "tuned-seed1"):
        run = make_run(tmp_path, name)
        latest.point_latest_at(run)
        assert latest.latest_run(tmp_path) == run
        assert latest.resolve(tmp_path / "latest") == run
        assert (tmp_path / "latest").is_symlink() == links
    assert not list(tmp_path.glob("*/.latest"))
    run.rmdir()
    assert latest.latest_run(tmp_path) is None


def test_peak_memory_comes_from_psutil_where_there_is_no_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psutil

    assert 10 < peak_memory.peak_memory_mb() < 2**20
    memory = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=300 * 2**20))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "Process", lambda: memory)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory.peak_memory_mb() == 300


@pytest.fixture
def gpus_are_used(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `--device auto` take a GPU, and restore what that changes in PyTorch."""
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


def fake_gpus(monkeypatch: pytest.MonkeyPatch, cuda: bool = False, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_gpu_that_is_there(
    monkeypatch: pytest.MonkeyPatch, gpus_are_used: None, cuda: bool, mps: bool, chosen: str
) -> None:
    fake_gpus(monkeypatch, cuda, mps)
    assert device.choose_device().type == chosen
    assert device.choose_device("cpu").type == "cpu"
    for name, there in (("cuda", cuda), ("mps", mps)):
        if there:
            assert device.choose_device(name).type == name
        else:
            with pytest.raises(errors.Misuse, match=f"--device {name}: .* no such device"):
                device.choose_device(name)


@pytest.mark.parametrize("gpu", ["cuda", "mps"])
def test_accelerate_launch_cpu_is_obeyed(monkeypatch: pytest.MonkeyPatch, gpu: str) -> None:
    """The Trainer would obey it: the model must not be on another device than the batches."""
    fake_gpus(monkeypatch, **{gpu: True})
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert device.choose_device().type == device.choose_device("cpu").type == "cpu"
    with pytest.raises(errors.Misuse, match=f"--device {gpu}: ACCELERATE_USE_CPU"):
        device.choose_device(gpu)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")  # what it sets otherwise
    assert device.choose_device("cpu").type == "cpu"


def test_the_suite_runs_on_the_cpu(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands have `--device auto`, and must not run on the GPU of whoever runs the tests."""
    assert place.environment.items() >= ON_CPU.items()
    for cuda, mps in ((True, False), (False, True)):
        fake_gpus(monkeypatch, cuda, mps)
        assert device.choose_device().type == "cpu"


def test_no_product_in_fp32_is_rounded_to_tf32(
    monkeypatch: pytest.MonkeyPatch, gpus_are_used: None
) -> None:
    """TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1, which NVIDIA's containers set, asks for TF32."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    fake_gpus(monkeypatch, cuda=True)
    device.choose_device("cpu")
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"  # what is measured does change
    device.choose_device()
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"
    assert torch.backends.cudnn.conv.fp32_precision != "tf32"  # type: ignore[attr-defined]
    assert not torch.backends.cudnn.allow_tf32  # torch.compile reads this one


@pytest.mark.parametrize(
    ("native", "emulated", "precision"),
    [(True, True, "bf16"), (False, True, "fp32"), (False, False, "fp32")],
)
def test_a_gpu_trains_in_bf16_if_it_does_not_have_to_emulate_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, emulated: bool, precision: str
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return emulated if including_emulation else native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert defaults.precision(torch.device("cuda")) == precision
    assert defaults.precision(torch.device("mps")) == "fp32"


def test_a_run_record_names_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"cuda:1": "NVIDIA H200", "cuda": "NVIDIA T4"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda chosen: names[str(chosen)])
    assert device.describe(torch.device("cuda", 1)) == "NVIDIA H200"
    assert device.describe(torch.device("cuda")) == "NVIDIA T4"
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert device.describe(torch.device("mps")) == "Apple GPU (mps), arm64"


@pytest.mark.parametrize("gpu", ["cuda", "mps"])
def test_models_that_take_turns_on_a_gpu_draw_the_numbers_that_each_draws_alone(
    monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    generator = torch.Generator()  # that of the GPU

    def draw_digits(
        model: SimpleNamespace,
        tokenizer: None,
        prompt: str,
        settings: Settings,
        watch: Callable[[str], None] = lambda text: None,
    ) -> str:
        generator.manual_seed(model.seed)
        text = ""
        while len(text) < settings.characters:
            text += str(int(torch.randint(10, (), generator=generator)))
            watch(text)
        return text

    module = getattr(torch, gpu)
    monkeypatch.setattr(module, "get_rng_state", lambda *_: generator.get_state())
    monkeypatch.setattr(module, "set_rng_state", lambda state, *_: generator.set_state(state))
    monkeypatch.setattr(turns, "sample", draw_digits)
    models = [SimpleNamespace(device=torch.device(gpu), seed=seed) for seed in (1, 2)]
    settings = Settings(characters=8)
    alone = tuple(draw_digits(model, None, "", settings) for model in models)
    before = generator.get_state()
    sides = [SimpleNamespace(model=model, tokenizer=None) for model in models]
    *_, texts = turns.write_in_turns(sides, "", settings)
    assert texts == alone
    assert torch.equal(generator.get_state(), before)


def test_each_process_of_torchrun_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    backends: list[str] = []
    monkeypatch.setattr(parallel, "WORLD_SIZE", 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(distributed, "init_process_group", backends.append)
    monkeypatch.setattr(atexit, "register", lambda call: None)
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        parallel.init_process_group(torch.device("cuda"))
    assert taken == [0, 1] and set(backends) == {"nccl"}


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_both_tracks_refuse_a_device_that_is_not_there(
    place: Place, mini_text: Path, track: str
) -> None:
    line = place.refused(f"{track}.train", "--corpus", mini_text, "--device", "cuda")
    assert "--device cuda: PyTorch finds no such device" in line
    assert not (place.path / "runs").exists()


def test_the_device_is_asked_for_in_one_place() -> None:
    root = Path(__file__).parent.parent.parent
    asking = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        if "is_available()" in path.read_text("utf-8")
    }
    assert asking <= {"compare/device.py"}
