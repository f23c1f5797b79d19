"""No foreign code runs when a model is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compare import files, generate
from compare.errors import Failure
from compare.publish import hub, staging
from compare.runs import find, models
from scratch_lm.model import ScratchConfig, ScratchLM
from tests.conftest import FINETUNE, SCRATCH, Place

ROOT = Path(__file__).parents[3]
CODE = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import GPT2Config, GPT2LMHeadModel
class Config(GPT2Config): pass
class Model(GPT2LMHeadModel): config_class = Config
"""
OWN = ["runs/scratch_lm/course-seed1/model", "runs/scratch_lm/tuned-seed1/model"]


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values), "utf-8")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the path of a file that foreign code creates if it is run."""
    return tmp_path / "code-was-run"


@pytest.fixture
def copied(study: Place, place: Place) -> Place:
    """Return a place with its own copy of the runs, which tests may damage."""
    shutil.copytree(study.path / "runs", place.path / "runs", symlinks=True)
    return place


def in_model(folder: Path, code: str) -> None:
    with (folder / "model.py").open("a") as file:
        file.write(code)


def in_another_file(folder: Path, code: str) -> None:
    (folder / "evil.py").write_text(code, "utf-8")
    names = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit(folder / "config.json", auto_map=names)


def in_another_repository(folder: Path, code: str) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "evil.py").write_text(code, "utf-8")
    names = {"AutoConfig": f"{other}--evil.Config", "AutoModelForCausalLM": f"{other}--evil.Model"}
    edit(folder / "config.json", auto_map=names)


def in_a_file_that_the_model_imports(folder: Path, code: str) -> None:
    in_model(folder, "from .helper import *\n")
    (folder / "helper.py").write_text(code, "utf-8")


def beside_the_model(folder: Path, code: str) -> None:
    """Add a `generate` function, which transformers loads with trust_remote_code."""
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate/generate.py").write_text(code + "generate = print\n", "utf-8")


def for_the_tokenizer(folder: Path, code: str) -> None:
    (folder / "evil.py").write_text(code, "utf-8")
    names = {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}
    edit(folder / "tokenizer_config.json", auto_map=names, tokenizer_class="Tokenizer")


WAYS = [
    in_model,
    in_another_file,
    in_another_repository,
    in_a_file_that_the_model_imports,
    beside_the_model,
    for_the_tokenizer,
]


@pytest.mark.parametrize("spoil", WAYS)
def test_code_beside_a_run_is_not_run_though_its_own_record_vouches_for_it(
    copied: Place, mark: Path, spoil: Callable[[Path, str], None]
) -> None:
    run = copied.path / "runs/scratch_lm/course-seed1"
    spoil(run / "model", CODE.format(mark=str(mark)))
    edit(run / "run.json", model_sha256=files.checksums(run / "model"))
    with pytest.raises(Failure, match=f"no code in {run / 'model'} was run"):
        generate.generate(generate.GenerateOptions(run=run))
    with pytest.raises(Failure, match=f"no code in {run / 'model'} was run"):
        models.load(run / "model")
    assert not mark.exists()


def test_the_refusal_is_one_line_that_names_the_file_and_what_to_do(
    copied: Place, mark: Path
) -> None:
    run = copied.path / "runs/scratch_lm/course-seed1"
    in_model(run / "model", CODE.format(mark=str(mark)))
    edit(run / "run.json", model_sha256=files.checksums(run / "model"))
    line = copied.refused("compare.generate", "--run", run, code=1)
    assert f"{run / 'model/model.py'} is not this project's scratch_lm/model.py" in line
    assert "train the model again" in line
    assert not mark.exists()


def test_the_bytes_that_are_run_are_those_that_were_checked(copied: Place, mark: Path) -> None:
    """transformers may have kept a copy of an earlier file in the same place: it is not run."""
    folder = copied.path / OWN[0]
    own = (folder / "model.py").read_bytes()
    command = ["compare.generate", "--run", folder.parent, "--characters", 5]
    copied.run(*command)
    kept = Path(copied.environment["HF_HOME"]) / "modules/transformers_modules" / folder.name
    for file in [folder / "model.py", *kept.rglob("model.py")]:
        file.write_bytes(own + CODE.format(mark=str(mark)).encode())
    edit(folder.parent / "run.json", model_sha256={})
    copied.refused(*command, code=1)
    (folder / "model.py").write_bytes(own)
    copied.run(*command)
    assert not mark.exists()


def test_no_command_runs_it_or_hands_it_on(
    copied: Place, mark: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = copied.path / "runs/scratch_lm/course-seed1"
    in_model(run / "model", CODE.format(mark=str(mark)))
    edit(run / "run.json", model_sha256=files.checksums(run / "model"))
    words = f"{Path('runs/scratch_lm/course-seed1/model/model.py')} is not this project's"
    assert words in copied.refused("compare.report", code=1)
    taught = [*SCRATCH, "--corpus", mini_text, "--teachers", "course-seed1"]
    assert words in copied.refused(*taught, code=1)
    based = [*FINETUNE, "--corpus", mini_text, "--base", run / "model"]
    assert "is not a causal language model" in copied.refused(*based)
    with pytest.raises(Failure, match="is not this project's"):
        staging.stage(tmp_path / "staged", "repo", find.load(run), {})
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(run / "model"))
    with pytest.raises(Failure, match="is not this project's"):
        hub.read_back("repo", "commit", run / "model", "text", 2.0)
    assert not mark.exists()


def test_code_beside_a_base_is_not_run(tmp_path: Path, tiny_base: Path, mark: Path) -> None:
    """The class in transformers is used instead."""
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    in_another_file(folder, CODE.format(mark=str(mark)))
    model, _ = models.load(folder)
    assert type(model).__name__ == "GPT2LMHeadModel" and not mark.exists()


def test_an_earlier_version_that_is_listed_is_run(
    copied: Place, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied.path / OWN[0]
    in_model(folder, CODE.format(mark=str(mark)))
    with pytest.raises(Failure, match="is not this project's"):
        models.load(folder)
    digest = hashlib.sha256((folder / "model.py").read_bytes()).hexdigest()
    monkeypatch.setitem(models.EARLIER_CODE, digest, "of a test")
    models.load(folder)
    assert mark.exists()  # so the other tests could have failed


@pytest.mark.parametrize(("digest", "commit"), models.EARLIER_CODE.items())
def test_listed_versions_are_of_this_projects_history_and_still_load(
    copied: Place, digest: str, commit: str
) -> None:
    shown = subprocess.run(
        ["git", "show", f"{commit}:scratch_lm/model.py"], cwd=ROOT, capture_output=True
    )
    if shown.returncode:
        pytest.skip("the history is not here")
    assert hashlib.sha256(shown.stdout).hexdigest() == digest
    # `tuned` as it was before the convolutions
    earlier = shutil.copytree(copied.path / OWN[0], copied.path / "earlier")
    config = ScratchConfig.from_pretrained(earlier)
    config.distance_bias = config.smeared_keys = True
    ScratchLM(config).save_pretrained(earlier)
    for folder in (earlier, *(copied.path / name for name in OWN)):
        settings = json.loads((folder / "config.json").read_text("utf-8"))
        if any(
            settings[name] and name.encode() not in shown.stdout
            for name in ("smeared_keys", "convolutions")
        ):
            continue  # such models came later
        (folder / "model.py").write_bytes(shown.stdout)
        model, tokenizer = models.load(folder)
        assert model.generate(tokenizer("ROMEO:", return_tensors="pt").input_ids).shape[1] > 6
