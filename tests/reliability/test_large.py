"""Training on a text of 200 MB needs only a few times its size in memory."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import FINETUNE, SCRATCH, Place, killed_if_it_hangs

pytestmark = pytest.mark.slow
MIB = 2**20
SIZE = 200_000_000  # bytes
ALLOWED = 4  # times the size of the text, beyond what a small text needs


def peak_until_first_step(place: Place, *command: object) -> int:
    """Return the peak memory of a training run up to its first log line, in bytes."""
    process = subprocess.Popen(
        place._command((*command, "--tracking", "disabled")),
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        seen = []
        with killed_if_it_hangs(process):
            for line in process.stdout:
                seen.append(line)
                if ", step " in line:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    return 1024 * int(status.split("VmHWM:")[1].split()[0])
        raise AssertionError("".join(seen))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_large_text_needs_memory_of_a_few_times_its_size(
    place: Place, tiny_base: Path, tiny_shakespeare: str, track: str, capsys: pytest.CaptureFixture
) -> None:
    large = (tiny_shakespeare * (SIZE // len(tiny_shakespeare) + 1))[:SIZE]
    (place.path / "large.txt").write_text(large)
    # Long enough to fill the batches that validation is scored in: those belong to the model.
    (place.path / "small.txt").write_text(large[:4_000_000])
    del large
    command = {
        "scratch_lm": [*SCRATCH, "--epochs", 1],
        "gpt2_finetune": [*FINETUNE, "--epochs", 1, "--base", tiny_base],
    }[track]
    began = time.perf_counter()
    small, big = (
        peak_until_first_step(place, *command, "--corpus", name)
        for name in ("small.txt", "large.txt")
    )
    with capsys.disabled():
        print(
            f"\n{track}: {SIZE:,} bytes of text, {(big - small) / SIZE:.1f} times that in memory "
            f"beyond the {small / MIB:.0f} MiB of a small text, first step after "
            f"{time.perf_counter() - began:.0f} s"
        )
    assert big - small <= ALLOWED * SIZE
