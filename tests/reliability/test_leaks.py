"""Secrets appear in no output, and no text breaks out of the markup around it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from tests.conftest import FINETUNE, HANGS, REPORT, SCRATCH, Place

pytestmark = pytest.mark.slow
CANARY = "c0ffee" * 6 + "cafe"  # 40 digits, as W&B's keys
NAME = "we|ird\"><script>alert(1) $(touch pwned): `x` [a](b)'.txt"


@pytest.fixture(scope="module")
def study_of_a_strange_text(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, mini_text: Path, tiny_base: Path
) -> tuple[Place, str]:
    """Run both tracks, the report and a failing push with secrets; return place and output."""
    place = Place(tmp_path_factory.mktemp("strange"), caches)
    place.environment |= {
        "HF_TOKEN": f"hf_{CANARY}",
        "WANDB_API_KEY": CANARY,
        "WANDB_BASE_URL": f"http://user:{CANARY}@127.0.0.1:9",
        "WANDB_MODE": "offline",
    }
    text = mini_text.read_text("utf-8").replace("the", "the</script><b>|`*_$(touch pwned)`")[
        :30_000
    ]
    (place.path / NAME).write_text(text, "utf-8")
    common = ["--corpus", NAME, "--epochs", "1"]
    said = []
    for command in (
        [*SCRATCH, *common],
        [*FINETUNE, *common, "--base", tiny_base],
        REPORT,
        ["compare.publish"],
        ["compare.publish", "--push"],
    ):
        done = subprocess.run(
            place._command(tuple(command)),
            cwd=place.path,
            env=place.environment,
            capture_output=True,
            text=True,
            timeout=HANGS,
        )
        assert done.returncode == ("--push" in command), done.stderr
        said.append(done.stdout + done.stderr)
    return place, "".join(said)


def test_no_secret_is_written_anywhere(study_of_a_strange_text: tuple[Place, str]) -> None:
    place, said = study_of_a_strange_text
    assert CANARY not in said
    files = [path for path in place.path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files) and len(files) > 40
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path


def test_the_page_takes_text_as_text(study_of_a_strange_text: tuple[Place, str]) -> None:
    place, _ = study_of_a_strange_text
    page = (place.path / "reports/report.html").read_text("utf-8")
    assert "alert(1)" in page and "<script>alert" not in page and "</script><b>" not in page
    assert page.count("<script") == page.count("</script>")


def test_tables_keep_their_columns(study_of_a_strange_text: tuple[Place, str]) -> None:
    place, _ = study_of_a_strange_text
    pages = [*(place.path / "reports").glob("*.md"), *place.path.glob("runs/publish/*/README.md")]
    assert len(pages) == 5
    for page in pages:
        text = re.sub(
            r"\A---\n.*?^---\n", "", page.read_text("utf-8"), flags=re.M | re.S
        )  # YAML's own
        outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.M | re.S)
        assert "<script>" not in re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside), page
        for table in re.findall(r"(?:^\|.*\n)+", outside, re.M):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(columns) == 1, table


def test_cards_keep_the_name_as_a_value(study_of_a_strange_text: tuple[Place, str]) -> None:
    place, _ = study_of_a_strange_text
    for card in place.path.glob("runs/publish/*/README.md"):
        front = yaml.safe_load(card.read_text("utf-8").split("---\n")[1])
        (result,) = front["model-index"][0]["results"]
        assert result["dataset"]["name"] == NAME
        assert ModelCard.load(card).data.license is None  # that of a user's own text is not known


def test_the_recorded_command_is_one_that_a_shell_takes_as_it_was(
    study_of_a_strange_text: tuple[Place, str],
) -> None:
    place, _ = study_of_a_strange_text
    for track in ("scratch_lm", "gpt2_finetune"):
        record = json.loads((place.path / "runs" / track / "latest/run.json").read_text("utf-8"))
        assert NAME in shlex.split(record["command"])
        script = f"set -- {record['command']}; printf '%s\\n' \"$@\""
        said = subprocess.run(["sh", "-c", script], cwd=place.path, capture_output=True, text=True)
        assert said.returncode == 0 and NAME in said.stdout.splitlines()
    assert not (place.path / "pwned").exists()
