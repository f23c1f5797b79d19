"""The models that runs have left, loaded without knowing which track made them.

The only code beside weights that is ever run is this project's own model file: see `load`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from compare import files
from compare.device import choose_device
from compare.errors import Failure
from compare.runs.find import CompleteRun

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]

# The one file of code that may lie beside weights and be run.  It is read, not imported: the
# referee knows no track.
OWN_CODE = Path(__file__).parents[2] / "scratch_lm" / "model.py"
# The sha256 of its earlier versions of the same architecture, for the runs that they have left:
# git show COMMIT:scratch_lm/model.py | sha256sum.  Add the version that a change replaces.
EARLIER_CODE = {
    "64026f0a3e2c513223c42e8e17e4a2e45b023ace95661bf893a184e5240bc357": "20e0cc3",
    "7f047820f736dc523ee6624dda913cea18d9287e957dc9eb52efdf14d42d0961": "e8ee757",
    "19d1ba0677ac308946d36f00226620cd80e89b56d9897e25c42ec2ae21e27bd1": "555211f",
    "9886174079f5a72d12282174cc5d0b72a4f968fa881a26403096b39fc99ee767": "88cee77",
}
# Where config.json of a model with that code says that it is.
AUTO_MAP = {"AutoConfig": "model.ScratchConfig", "AutoModelForCausalLM": "model.ScratchLM"}


def require_whole(run: CompleteRun) -> None:
    """Raises Failure when a file of the run's model is not what the training has left.

    So it does when the model needs other code than this project's: checksums are of the run's own
    record, which whoever changed a file could have changed, too.
    """
    folder = run.model
    if bad := files.damaged_files(folder, run.record.model_sha256):
        raise Failure(
            f"{folder}: {', '.join(bad)} changed after the training (sha256): restore it, or move "
            f"{run.path} away and train again"
        )
    if needs_code(folder):
        _own_code(folder)


def weights_sha256(folder: Path) -> str:
    """sha256 over all safetensors files of a model directory, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def needs_code(folder: Path) -> bool:
    """Whether transformers has no class for this model, and code beside the weights offers one."""
    config = read_config(folder)
    known = str(config.get("model_type")) in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return "auto_map" in config and not known


def read_config(folder: Path) -> dict[str, Any]:
    """A model's config.json; empty where it cannot be read, of which the library says more."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _own_code(folder: Path) -> bytes:
    """The code beside the weights.  Raises Failure unless all of it is this project's own file."""
    path = folder / "model.py"
    others = sorted(each for each in folder.rglob("*.py") if each != path)
    if read_config(folder)["auto_map"] != AUTO_MAP:
        foreign = f"{folder / 'config.json'} asks for code other than this project's model.py"
    elif others:
        foreign = f"{others[0]} is code that is not this project's"
    elif not path.is_file():
        foreign = f"{path} is missing"
    else:
        code = path.read_bytes()
        digest = hashlib.sha256(code).hexdigest()
        if digest in EARLIER_CODE or code == OWN_CODE.read_bytes():
            return code
        foreign = f"{path} is not this project's scratch_lm/model.py (its sha256 is {digest})"
    raise Failure(
        f"{foreign}: nothing in {folder} is run; train the model again, or use the version of this "
        "project that made it"
    )


def _class_in(code: bytes, path: Path) -> type[PreTrainedModel]:
    """The model's class, from these very bytes: a file could change after it was checked, and the
    library keeps copies of the files that it was ever told to run."""
    name = f"scratch_lm_model_{hashlib.sha256(code).hexdigest()}"
    if name not in sys.modules:
        module = sys.modules[name] = ModuleType(name)  # where annotations are looked up
        module.__file__ = str(path)
        try:
            exec(compile(code, path, "exec", dont_inherit=True), module.__dict__)
        except Exception:
            del sys.modules[name]
            raise
    return sys.modules[name].ScratchLM


def load(
    folder: Path, config: PreTrainedConfig | None = None, device: torch.device | None = None
) -> Loaded:
    """Model in fp32, in evaluation mode, and tokenizer.  Raises Failure when they cannot be read.

    A model's class comes with transformers.  Where it has none, and config.json names code beside
    the weights, that code is run if its bytes are those of this project's `scratch_lm/model.py` or
    of one of its earlier versions; all other code is refused.  `config` replaces the one beside
    the weights; the model is moved to `device`, by default the one that is chosen for "auto".
    """
    code = _own_code(folder) if needs_code(folder) else None
    logging.disable_progress_bar()  # "Loading weights": over before it can be read
    try:
        # Typed as Any: with output_loading_info, from_pretrained returns a pair.
        model_class: Any = _class_in(code, folder / "model.py") if code else AutoModelForCausalLM
        model, loading_info = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,  # no pickle
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=model.config, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # the library raises many kinds, for as many kinds of damage
        raise Failure(f"no model can be loaded from {folder}: {error}") from None
    if missing := sorted(loading_info["missing_keys"]):  # the library fills them at random
        raise Failure(f"{folder} has no weights for {', '.join(missing)}")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # an empty one, for want of files
        raise Failure(f"{folder} has no tokenizer")
    return model.to(device or choose_device()).eval(), tokenizer
