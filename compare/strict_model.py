"""The base classes of typed records."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A record that does not convert values to other types, and refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FrozenModel(StrictModel):
    """A strict record whose fields cannot be set again."""

    model_config = ConfigDict(frozen=True)
