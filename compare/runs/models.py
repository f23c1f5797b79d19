"""Load the models in run directories, whichever track trained them.

The only code stored next to weights that is run is this project's own model file, unless the caller
explicitly trusts other code; see `load`.
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


class ForeignCode(Failure):
    """A model needs code that is not this project's, so it was not loaded."""


# The only code next to weights that is run without being asked for.  The file is read instead of
# imported because `compare` imports neither track.
PROJECT_MODEL_CODE = Path(__file__).parents[2] / "scratch_lm" / "model.py"
# SHA-256 and commit of its earlier versions with the same architecture, whose models can still be
# loaded: git show COMMIT:scratch_lm/model.py | sha256sum.  If you change the file, add the version
# that you replace.
EARLIER_CODE = {
    "64026f0a3e2c513223c42e8e17e4a2e45b023ace95661bf893a184e5240bc357": "20e0cc3",
    "7f047820f736dc523ee6624dda913cea18d9287e957dc9eb52efdf14d42d0961": "e8ee757",
    "19d1ba0677ac308946d36f00226620cd80e89b56d9897e25c42ec2ae21e27bd1": "555211f",
    "9886174079f5a72d12282174cc5d0b72a4f968fa881a26403096b39fc99ee767": "88cee77",
    "8177de19a1208d1feb4b3a0ac5f108533addd6149c0b30b62356e1eeeab35781": "e7bb5e3",
    "00048ba6321cdbd031c4d157211801c8dca3c99ccda424dbb893b87a9d134125": "04ca8ec",
}
# Beginnings of the names of the modules that run code next to weights: this project's code, below,
# and other code, which transformers runs.
CODE_MODULES = ("scratch_lm_model_", "transformers_modules.")
# `auto_map` in the config.json of a model with that code.
AUTO_MAP = {"AutoConfig": "model.ScratchConfig", "AutoModelForCausalLM": "model.ScratchLM"}


def require_unchanged(run: CompleteRun) -> None:
    """Raise Failure if the run's model has changed since training or needs foreign code.

    The checksums alone do not protect against foreign code: they are in the run's own record, which
    whoever changed the code could have changed, too.
    """
    folder = run.model
    if changed := files.damaged_files(folder, run.record.model_sha256):
        raise Failure(
            f"{folder}: {', '.join(changed)} changed after training (sha256): restore it, or move "
            f"{run.path} away and train again"
        )
    if needs_code(folder):
        _read_own_code(folder)


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of all safetensors files in a model directory, in the order of names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while chunk := file.read(1 << 24):
                digest.update(chunk)
    return digest.hexdigest()


def needs_code(folder: Path) -> bool:
    """Return whether the model's class is not in transformers, but in code next to the weights."""
    config = read_config(folder)
    is_built_in = str(config.get("model_type")) in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return "auto_map" in config and not is_built_in


def _tokenizer_names_code(folder: Path) -> bool:
    """Return whether code other than that of transformers is named for the tokenizer."""
    return "auto_map" in _read_dict(folder / "tokenizer_config.json")


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model's config.json as a dict, or {} if it cannot be read.

    Loading the model then reports what is wrong with the file.
    """
    return _read_dict(folder / "config.json")


def _read_dict(path: Path) -> dict[str, Any]:
    """Return the object in the JSON file `path`, or {} if it cannot be read."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_own_code(folder: Path) -> bytes:
    """Return the code next to the weights.

    Raises ForeignCode unless this project's model file, or an earlier version of it, is the only
    code.
    """
    path = folder / "model.py"
    others = sorted(file for file in folder.rglob("*.py") if file != path)
    if read_config(folder)["auto_map"] != AUTO_MAP:
        reason = f"{folder / 'config.json'} requires code other than this project's model.py"
    elif others:
        reason = f"{others[0]} is not this project's code"
    elif not path.is_file():
        reason = f"{path} is missing"
    else:
        code = path.read_bytes()
        digest = hashlib.sha256(code).hexdigest()
        if digest in EARLIER_CODE or code == PROJECT_MODEL_CODE.read_bytes():
            return code
        reason = f"{path} is not this project's scratch_lm/model.py (its sha256 is {digest})"
    raise ForeignCode(
        f"{reason}: no code in {folder} was run; train the model again, or use the version of this "
        "project that trained it"
    )


def has_own_code(folder: Path) -> bool:
    """Return whether the model needs code, and this project's is the only code next to it."""
    try:
        return needs_code(folder) and bool(_read_own_code(folder))
    except ForeignCode:
        return False


def _define_class(code: bytes, path: Path) -> type[PreTrainedModel]:
    """Run `code`, which was read from `path`, and return the model class that it defines.

    The bytes are passed instead of read again, because the file could change after it was checked.
    transformers would run its own copy, which may be that of an earlier file.
    """
    name = CODE_MODULES[0] + hashlib.sha256(code).hexdigest()
    if name not in sys.modules:
        module = sys.modules[name] = ModuleType(name)  # annotations are resolved in sys.modules
        module.__file__ = str(path)
        try:
            exec(compile(code, path, "exec", dont_inherit=True), module.__dict__)
        except Exception:
            del sys.modules[name]
            raise
    return sys.modules[name].ScratchLM


def _read_code(folder: Path, trust_code: bool) -> bytes | None:
    """Return this project's code next to the weights; None if other code is needed, or none is.

    Raises ForeignCode if other code is needed, and is not trusted.
    """
    if not needs_code(folder):
        return None
    try:
        return _read_own_code(folder)
    except ForeignCode:
        if trust_code:
            return None
        raise


def _restore_unsaved_buffers(model: PreTrainedModel) -> None:
    """Compute the buffers of `model` again that are not saved with its weights, such as masks.

    transformers creates the model without memory, and then fills these buffers with whatever the
    memory contains, unless the model's code has an `_init_weights` that computes them.
    """
    unsaved = [
        (prefix, name)
        for prefix, module in model.named_modules()
        for name in module._non_persistent_buffers_set
        if module._buffers.get(name) is not None
    ]
    if not unsaved:
        return
    with torch.random.fork_rng([]):  # the initial weights are random
        fresh = type(model)(model.config)
    computed = dict(fresh.named_buffers())
    for prefix, name in unsaved:
        value = computed.get(f"{prefix}.{name}" if prefix else name)
        if value is not None:
            model.get_submodule(prefix)._buffers[name] = value


def load(
    folder: Path,
    config: PreTrainedConfig | None = None,
    device: torch.device | None = None,
    trust_code: bool = False,
) -> Loaded:
    """Load the model, in fp32 and evaluation mode, and the tokenizer from a model directory.

    The model's class comes from transformers.  If transformers has none, and config.json names code
    next to the weights, that code is run only if it is byte-identical to this project's
    `scratch_lm/model.py` or to one of its earlier versions.  With `trust_code`, any other code that
    the model or the tokenizer needs is run, too; it can do whatever the user can.  Buffers that are
    not saved with the weights are then computed again.

    `config` replaces the configuration in the directory.  The model is moved to `device`, which is
    `choose_device("auto")` by default.

    Raises ForeignCode if the code is not this project's and is not trusted, and Failure if the
    model or the tokenizer cannot be loaded.
    """
    code = _read_code(folder, trust_code)
    is_model_loaded = False
    logging.disable_progress_bar()  # "Loading weights" would disappear at once
    try:
        # Typed as Any: with output_loading_info, from_pretrained returns a pair.
        model_class: Any = AutoModelForCausalLM
        if code:
            model_class = _define_class(code, folder / "model.py")
        model, loading_info = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,  # no pickle
            trust_remote_code=trust_code and needs_code(folder) and code is None,
            local_files_only=True,
            output_loading_info=True,
        )
        if code is None and needs_code(folder):
            _restore_unsaved_buffers(model)
        is_model_loaded = True
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=model.config, trust_remote_code=trust_code, local_files_only=True
        )
    except Exception as error:  # transformers raises many types, depending on the damage
        if is_model_loaded and not trust_code and _tokenizer_names_code(folder):
            raise ForeignCode(
                f"the tokenizer in {folder} requires code of its own: no code in {folder} was run; "
                "save a tokenizer of transformers instead"
            ) from None
        raise Failure(f"no model can be loaded from {folder}: {error}") from None
    if missing := sorted(loading_info["missing_keys"]):  # transformers initializes them randomly
        raise Failure(f"{folder} has no weights for {', '.join(missing)}")
    # Without tokenizer files, transformers returns an empty tokenizer.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise Failure(f"{folder} has no tokenizer")
    return model.to(device or choose_device()).eval(), tokenizer
