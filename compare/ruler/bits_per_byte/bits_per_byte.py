"""The study's metrics as a metric of the `evaluate` library.

    evaluate.load("compare/ruler/bits_per_byte").compute(
        nats=[4.2, 0.7], bytes=[3, 1], text="O no"
    )

`nats` and `bytes` have one value for each token of `text`.
"""

from dataclasses import asdict

import datasets
import evaluate

from compare.ruler.metrics import metrics_of


class BitsPerByte(evaluate.Metric):
    """Bits per byte, nats per character, word perplexity and token perplexity of a scored text."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Tokenizer-independent scores of a causal language model on one text.",
            citation="",
            inputs_description="nats and bytes of each token; text, to which the tokens decode",
            features=datasets.Features(
                {"nats": datasets.Value("float64"), "bytes": datasets.Value("int64")}
            ),
        )

    def _compute(self, nats: list[float], bytes: list[int], text: str) -> dict[str, float | int]:
        if sum(bytes) != len(text.encode()):
            raise ValueError(
                f"the tokens have {sum(bytes)} bytes, but the text has {len(text.encode())}"
            )
        return asdict(metrics_of(sum(nats), len(nats), text))
