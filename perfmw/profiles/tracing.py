"""Joins the profiles to the host's OpenTelemetry, and costs nothing where the host has none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from perfmw.profiles.store import ProfileStore

if TYPE_CHECKING:
    from perfmw.profiles.spans import Classifier, ProfileSpanProcessor


class HostTracing:
    """Attaches a ProfileSpanProcessor as soon as the host has a tracer provider of the SDK.

    The SDK is never imported by this class: a host that has not imported it has no such provider.
    """

    def __init__(self, store: ProfileStore, classify: Classifier | None = None) -> None:
        self._store = store
        self._classify = classify
        self._detach: Callable[[], None] | None = None
        self.processor: ProfileSpanProcessor | None = None

    def ensure(self) -> bool:
        """Attach if that is possible by now; cheap enough for every tick. True once attached."""
        if self._detach is not None:
            return True
        if "opentelemetry.sdk.trace" not in sys.modules:
            return False
        from perfmw.profiles.spans import ProfileSpanProcessor, attach

        processor = ProfileSpanProcessor(self._store, self._classify)
        self._detach = attach(processor)
        self.processor = processor if self._detach is not None else None
        return self._detach is not None

    def close(self) -> None:
        """Detach; spans that end later are ignored."""
        if self._detach is not None:
            self._detach()
        self._detach = self.processor = None
