"""How much caches give back when memory runs out, and when they may have it again. Pure."""

from __future__ import annotations

from typing import Final

_STEP: Final = 0.5
_LEAST: Final = 0.05
_CALM: Final = 0.9
_REGAIN: Final = 1.1
_PAUSE: Final = 10.0


class Watermark:
    """The share of their bounds that caches may use.

    At or above ``high`` (share of the memory there is) it is halved at once, and again every 10 s while that
    lasts, down to a twentieth. Below nine tenths of ``high`` it grows back, by a tenth every 10 s.

    :raises ValueError: ``high`` is not within (0, 1].
    """

    def __init__(self, high: float) -> None:
        if not 0.0 < high <= 1.0:
            raise ValueError(f"high must be above 0 and at most 1, not {high!r}")
        self._high = high
        self._changed_at: float | None = None
        self.share = 1.0

    def update(self, used: float, now: float) -> bool:
        """Whether the share changed. ``used``: share of the memory there is; ``now``: seconds."""
        if self._changed_at is not None and now - self._changed_at < _PAUSE:
            return False
        share = self.share
        if used >= self._high:
            share = max(_LEAST, share * _STEP)
        elif used < _CALM * self._high:
            share = min(1.0, share * _REGAIN)
        if share == self.share:
            return False
        self.share, self._changed_at = share, now
        return True
