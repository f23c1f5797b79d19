"""Invalid texts, options, models, records and prompts give one error line and change no file."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compare import cli, generate, reachability
from compare.publish import __main__ as publish_command
from compare.report import __main__ as report_command
from gpt2_finetune import train as gpt2
from gpt2_finetune.config import FinetuneOptions
from scratch_lm import train as scratch
from scratch_lm.config import PRESETS, ScratchOptions
from tests.conftest import Place

COMMANDS = {
    "scratch": (ScratchOptions, PRESETS, scratch.train),
    "gpt2": (FinetuneOptions, None, gpt2.train),
    "generate": (generate.GenerateOptions, None, generate.generate),
    "report": (report_command.ReportOptions, None, report_command.main),
    "publish": (publish_command.PublishOptions, None, publish_command.publish),
}
TEXT = "What's in a name? That which we call a rose\nBy any other name would smell as sweet.\n" * 40

OPTIONS = [
    ("scratch", "--epochs 0", "--epochs is 0"),
    ("scratch", "--epochs -1", "--epochs is -1"),
    ("scratch", "--epochs 1.5", "invalid int value: '1.5'"),
    ("scratch", "--epochs 1000000000", "--epochs is 1000000000"),
    ("scratch", "--epochs", "expected one argument"),
    ("scratch", "--patience 0", "--patience is 0"),
    ("scratch", "--learning-rate nan", "--learning-rate is nan"),
    ("scratch", "--learning-rate inf", "--learning-rate is inf"),
    ("scratch", "--learning-rate 0", "--learning-rate is 0"),
    ("scratch", "--learning-rate -1", "--learning-rate is -1"),
    ("scratch", "--learning-rate fast", "invalid float value: 'fast'"),
    ("scratch", "--muon-learning-rate nan", "--muon-learning-rate is nan"),
    ("scratch", "--dropout 1", "--dropout is 1"),
    ("scratch", "--dropout -0.1", "--dropout is -0.1"),
    ("scratch", "--init-std 0", "--init-std is 0"),
    ("scratch", "--vocabulary 100", "--vocabulary is 100"),
    ("scratch", "--vocabulary 10000000", "--vocabulary is 10000000"),
    (
        "scratch",
        "--vocabulary 8000",
        "1,305,600 parameters (1,040,384 of them in",
    ),
    ("scratch", "--layers 1000", "exceed the limit of 999,999"),
    ("scratch", "--layers 0", "--layers is 0"),
    ("scratch", "--context-length 1", "--context-length is 1"),
    ("scratch", "--context-length 1000000", "--context-length is 1000000"),
    ("scratch", "--heads 3", "--heads 3 does not divide --width 128"),
    ("scratch", "--heads 0", "--heads is 0"),
    ("scratch", "--width 0", "--width is 0"),
    ("scratch", "--feed-forward 0", "--feed-forward is 0"),
    ("scratch", "--batch-size 0", "--batch-size is 0"),
    ("scratch", "--warmup-steps -1", "--warmup-steps is -1"),
    ("scratch", "--checkpoint-steps 0", "--checkpoint-steps is 0"),
    ("scratch", "--seed -1", "--seed is -1"),
    ("scratch", "--seed 4294967296", "--seed is 4294967296"),
    ("scratch", "--preset record --seed 0", "must be between 1 and 1,431,655,765"),
    ("scratch", "--sample-characters 0", "--sample-characters is 0"),
    ("scratch", "--project=", "--project is empty"),
    ("scratch", "--tracking sometimes", "invalid choice: 'sometimes'"),
    ("scratch", "--preset best", "invalid choice: 'best'"),
    ("scratch", "--preset", "--preset: expected one argument"),
    ("scratch", "--optimizer sgd", "invalid choice: 'sgd'"),
    ("scratch", "--precision fp8", "invalid choice: 'fp8'"),
    ("scratch", "--distance-bias maybe", "maybe"),
    ("scratch", "--no-such-option", "--no-such-option"),
    ("gpt2", "--epochs 0", "--epochs is 0"),
    ("gpt2", "--learning-rate inf", "--learning-rate is inf"),
    ("gpt2", "--batch-tokens 0", "--batch-tokens is 0"),
    ("gpt2", "--weight-decay nan", "--weight-decay is nan"),
    ("gpt2", "--warmup 1", "--warmup is 1"),
    ("gpt2", "--learning-rate 2", "--learning-rate is 2"),
    ("gpt2", "--checkpoint-steps 0", "--checkpoint-steps is 0"),
    ("gpt2", "--base=", "--base is empty"),
    ("gpt2", "--base no/such/directory", "neither a directory nor a Hub name"),
    ("generate", "--characters 0", "--characters is 0"),
    ("generate", "--temperature 0", "--temperature is 0"),
    ("generate", "--temperature nan", "--temperature is nan"),
    ("generate", "--top-k 0", "--top-k is 0"),
    ("generate", "--top-p 2", "--top-p is 2"),
    ("generate", "--seed -1", "--seed is -1"),
    ("generate", "--count 0", "--count is 0"),
    ("generate", "--run nowhere", "nowhere is not a run directory"),
    ("generate", "", "no complete run in runs/scratch_lm"),
    ("report", "", "no complete run in runs/scratch_lm"),
    ("report", "--sample-characters 0", "--sample-characters is 0"),
    ("publish", "", "no complete run in runs/scratch_lm"),
    ("publish", "--prefix ../up", "--prefix '../up'"),
    ("publish", "--namespace a/b", "--namespace 'a/b'"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory without network access."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setattr(reachability, "hub_reachable", lambda: False)
    return path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Return a function that runs a command that must be refused, and returns its error line."""

    def refuse(command: str, *arguments: object, code: int = 2) -> str:
        options, presets, main = COMMANDS[command]
        before = tree(here)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.run(main, cli.parse(options, presets, list(map(str, arguments))))
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == code, lines
        assert lines[-1].startswith("error: ") and not any("Traceback" in each for each in lines)
        assert tree(here) == before
        return lines[-1]

    return refuse


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return the contents of a directory by path, without lock files, which are left behind."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() and not path.is_symlink() else None
        )
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(".lock")
        and path not in (folder / "runs", folder / "runs/publish")
    }


@pytest.mark.parametrize(("command", "arguments", "words"), OPTIONS)
def test_options(refused: Callable[..., str], command: str, arguments: str, words: str) -> None:
    assert words in refused(command, *arguments.split())


@pytest.mark.parametrize("track", ["scratch", "gpt2"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"x", "lower --vocabulary|too few for one window"),
        (b" \n" * 20, "lower --vocabulary|too few for one window"),
        (TEXT.encode()[:300], "lower --vocabulary|too few for one window"),
        (b"\xff" + TEXT.encode(), r"is not UTF-8 \(byte 0\)"),
        (TEXT.encode() + b"\xc3", "is not UTF-8"),
        ((TEXT + "caf\xe9").encode("latin-1"), "is not UTF-8"),
        (TEXT.encode("utf-16"), r"is not UTF-8 \(byte 0\)"),
    ],
)
def test_texts(
    here: Path, refused: Callable[..., str], tiny_base: Path, track: str, content: bytes, words: str
) -> None:
    Path("text.txt").write_bytes(content)
    base = ["--base", tiny_base] if track == "gpt2" else []
    line = refused(track, "--corpus", "text.txt", *base)
    assert "--corpus text.txt" in line
    assert re.search(words, line)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "text.txt: no such file"),
        (lambda: os.mkdir("text.txt"), "text.txt is a directory"),
        (lambda: os.mkfifo("text.txt"), "text.txt is not a regular file"),
        (lambda: os.symlink("/dev/zero", "text.txt"), "text.txt is not a regular file"),
        (lambda: os.symlink("/proc/self/mem", "text.txt"), "text.txt cannot be read"),
        (lambda: os.symlink("text.txt", "text.txt"), "text.txt"),
    ],
    ids=["missing", "directory", "fifo", "endless", "unreadable", "loop"],
)
def test_what_is_no_text(refused: Callable[..., str], make: Callable[[], None], words: str) -> None:
    make()
    assert words in refused("scratch", "--corpus", "text.txt")


@pytest.mark.parametrize(
    "text",
    [
        TEXT.rstrip("\n"),
        TEXT.replace("\n", "\r\n"),
        "\ufeff" + TEXT,
        TEXT.replace("rose", "r\0se"),
        TEXT.replace("\n", " "),
        TEXT.replace("rose", "\N{ROSE}\N{COMBINING ACUTE ACCENT}"),
        TEXT.replace("name", "\N{HEBREW LETTER SHIN}\N{RIGHT-TO-LEFT OVERRIDE}"),
        TEXT.replace("rose", "<|endoftext|>"),
    ],
    ids=["no newline", "CRLF", "BOM", "NUL", "one line", "emoji", "right to left", "special"],
)
def test_strange_texts_are_taken_as_they_are_but_for_line_ends(here: Path, text: str) -> None:
    Path("text.txt").write_bytes(text.encode())
    options = ScratchOptions(corpus="text.txt", vocabulary=290, context_length=16)
    corpus = scratch.corpora.load(options.corpus)
    assert corpus.train + corpus.validation + corpus.test == text.replace("\r\n", "\n")
    tokenizer, ids = scratch.prepare_data(options, corpus)
    assert tokenizer.backend_tokenizer.decode(ids) == corpus.train


def spoiled(change: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    def copy(base: Path, target: Path) -> None:
        shutil.copytree(base, target)
        change(target)

    return copy


def reshape(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.wte.weight"] = tensors["transformer.wte.weight"][:, :7].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def incomplete(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.0.mlp.c_fc.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


def foreign(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}), "utf-8")


def trojan(folder: Path) -> None:
    (folder / "evil.py").write_text("open('/tmp/evil', 'w')\nraise SystemExit('evil')", "utf-8")
    config = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: [path.unlink() for path in folder.glob("tokenizer*")],
        cut("model.safetensors"),
        cut("config.json"),
        cut("tokenizer.json"),
        reshape,
        incomplete,
        pickled,
        foreign,
        trojan,
    ],
    ids=[
        "no weights",
        "no config",
        "no tokenizer",
        "weights cut",
        "config cut",
        "tokenizer cut",
        "wrong shape",
        "a tensor missing",
        "pickle",
        "foreign",
        "code",
    ],
)
def test_model_directories(
    here: Path,
    refused: Callable[..., str],
    tiny_base: Path,
    mini_text: Path,
    change: Callable[[Path], None],
) -> None:
    spoiled(change)(tiny_base, here / "base")
    line = refused("gpt2", "--base", "base", "--corpus", mini_text)
    assert "--base base is not a causal language model" in line


def drop(*keys: str) -> Callable[[dict], None]:
    return lambda record: [record.pop(key) for key in keys]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(schema=99), "has schema 99"),
        (drop("schema"), "has schema None"),
        (drop("parameters"), "is damaged (parameters: Field required)"),
        (drop("config", "corpus"), "is damaged (config: Field required; corpus: Field required)"),
        (lambda record: record.update(track="other"), "is damaged (track: "),
        (lambda record: record["epochs"][0].update(seconds="1"), "is damaged (epochs.0.seconds: "),
        (lambda record: record.update(unheard_of=1), "is damaged (unheard_of: "),
        (
            lambda record: record.update(best_epoch=9),
            "best_epoch of a complete run must be 1 to 3, not 9",
        ),
        (drop("tracking"), "a complete run must have characters_per_second and tracking"),
        (lambda record: record.update(track="gpt2_finetune"), "runs of gpt2_finetune have a base"),
        (lambda record: record.update(status="running"), "is not complete"),
        (lambda record: record.update(status="failed"), "has failed: train again"),
        (None, "is damaged"),
    ],
    ids=[
        "schema",
        "no schema",
        "no parameters",
        "no config",
        "track",
        "type",
        "field",
        "best epoch",
        "no tracking",
        "no base",
        "running",
        "failed",
        "cut",
    ],
)
def test_run_records(
    here: Path,
    refused: Callable[..., str],
    study: Place,
    change: Callable[[dict], None] | None,
    words: str,
) -> None:
    shutil.copytree(study.path / "runs/scratch_lm/course-seed1", here / "run")
    file = here / "run/run.json"
    if change:
        record = json.loads(file.read_text("utf-8"))
        change(record)
        file.write_text(json.dumps(record), "utf-8")
    else:
        file.write_text(file.read_text("utf-8")[:500], "utf-8")
    assert words in refused("generate", "--run", "run")


@pytest.mark.parametrize(
    "prompt",
    ["", "a", TEXT, "\N{ROSE}\N{HEBREW LETTER SHIN}", "\0", "<|endoftext|>", "\n\n"],
    ids=["empty", "one", "longer than the context", "never seen", "NUL", "special", "newlines"],
)
def test_any_prompt_is_continued(
    here: Path, study: Place, prompt: str, capsys: pytest.CaptureFixture
) -> None:
    run = study.path / "runs/scratch_lm/course-seed1"
    options = generate.GenerateOptions(prompt=prompt, run=run, characters=20)
    generate.generate(options)
    written = capsys.readouterr().out.partition("validation\n\n")[2]
    assert written.startswith(prompt) and len(written) >= len(prompt) + 20


@pytest.mark.parametrize("name", ["history", "samples"])
@pytest.mark.parametrize("damage", [b"{\n", b"\xff\n"], ids=["cut", "not UTF-8"])
def test_a_damaged_line_of_a_run_is_named(
    here: Path, refused: Callable[..., str], study: Place, name: str, damage: bytes
) -> None:
    shutil.copytree(study.path / "runs", here / "runs", symlinks=True)
    path = here / f"runs/scratch_lm/course-seed1/{name}.jsonl"
    path.write_bytes(damage + path.read_bytes())
    assert f"{name}.jsonl is damaged (line 1: " in refused("report")


def test_other_texts_in_both_tracks(
    here: Path, refused: Callable[..., str], study: Place, mini_text: Path, place: Place
) -> None:
    shutil.copytree(study.path / "runs", here / "runs", symlinks=True)
    for run in (here / "runs/scratch_lm").glob("*/run.json"):
        run.write_text(run.read_text("utf-8").replace('"sha256": "', '"sha256": "0'), "utf-8")
    assert "train both tracks on the same --corpus" in refused("report")
