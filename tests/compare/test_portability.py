"""Systems without symbolic links, the `resource` module or GPUs, simulated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compare import device, errors, peak_memory
from compare.runs import latest
from tests.conftest import Place

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


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_gpu_that_is_there(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device.choose_device().type == chosen
    assert device.choose_device("cpu").type == "cpu"
    for name, there in (("cuda", cuda), ("mps", mps)):
        if there:
            assert device.choose_device(name).type == name
        else:
            with pytest.raises(errors.Misuse, match=f"--device {name}: .* no such device"):
                device.choose_device(name)


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_both_tracks_refuse_a_device_that_is_not_there(
    place: Place, mini_text: Path, track: str
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
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
