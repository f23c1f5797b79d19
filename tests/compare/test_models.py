"""Whose code runs when a model is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from compare import models

CODE = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import GPT2Config, GPT2LMHeadModel
class Config(GPT2Config): pass
class Model(GPT2LMHeadModel): config_class = Config
"""


def test_code_beside_a_base_is_not_run(tmp_path: Path, tiny_base: Path) -> None:
    folder, mark = tmp_path / "base", tmp_path / "code-was-run"
    shutil.copytree(tiny_base, folder)
    (folder / "evil.py").write_text(CODE.format(mark=str(mark)))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    model, _ = models.load(folder)
    assert type(model).__name__ == "GPT2LMHeadModel" and not mark.exists()
    models.load(folder, own_code=True)
    assert mark.exists()  # so the first half of this test could have failed
