"""The study's ratios as a metric of the `evaluate` library.

    evaluate.load("compare/ruler/bits_per_byte").compute(
        nats=[4.2, 0.7], bytes=[3, 1], text="O no"
    )

One pair of nats and bytes per token, and the text that the tokens spell.
"""

from dataclasses import asdict

import datasets
import evaluate

from compare.ruler.metrics import metrics_of


class BitsPerByte(evaluate.Metric):
    """Bits per byte, nats per character, word and token perplexity of a scored text."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Tokenizer-independent scores of a causal language model on one text.",
            citation="",
            inputs_description="nats and bytes of each token; text, which they spell",
            features=datasets.Features(
                {"nats": datasets.Value("float64"), "bytes": datasets.Value("int64")}
            ),
        )

    def _compute(self, nats: list[float], bytes: list[int], text: str) -> dict[str, float | int]:
        if sum(bytes) != len(text.encode()):
            raise ValueError(f"{sum(bytes)} bytes of tokens for {len(text.encode())} of text")
        return asdict(metrics_of(sum(nats), len(nats), text))
