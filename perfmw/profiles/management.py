"""What people do with profiles: create, list, change, delete, compare, carry to another host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from perfmw.contracts.profiles import (
    PerformanceBaseline,
    PerformanceProfile,
    PerformanceProfileConfig,
    ProfileType,
)
from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.sharing import Sharing, State, restore_state, state_of
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.tracked import Tracked
from perfmw.profiles.trend import rank_sum

FORMAT: Final = 1
Better = Literal["first", "second", "neither"]


@dataclass(slots=True, frozen=True)
class Difference:
    """One figure of two profiles. ``change`` is the second against the first, -0.3 = 30% less."""

    figure: str
    first: float | None
    second: float | None
    change: float | None
    better: Better


@dataclass(slots=True, frozen=True)
class Comparison:
    """Two profiles, or two periods of one, side by side.

    ``confidence`` 0..1 that their latencies differ at all, by ranks. ``requests`` stand behind each side.
    """

    first: str
    second: str
    differences: list[Difference]
    faster: Better
    confidence: float
    first_requests: int = 0
    second_requests: int = 0


class Exported(msgspec.Struct):
    """A profile on its way: who it is, what was chosen or learned for it, and all that it counted."""

    type: ProfileType
    name: str
    created_at: float
    state: State
    counts: bytes


class Export(msgspec.Struct):
    """A file of profiles."""

    perfmw_profiles: int
    exported_at: float
    profiles: list[Exported]


class ProfileManager:
    """The profiles of one runtime, for people and their tools."""

    def __init__(
        self, store: ProfileStore, sharing: Sharing | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._sharing = sharing
        self._clock = clock

    def create(
        self, name: str, type: ProfileType = "component", config: PerformanceProfileConfig | None = None
    ) -> PerformanceProfile:
        """A profile for a target that may not have been seen yet; an existing one is configured.

        :raises ValueError: there is no room for another profile, or a choice does not fit.
        """
        if config is not None:
            _check(config)
        self._store.recorder(name, type)
        tracked = self._named(name, type)
        self._store.configure(tracked.id, config or tracked.config)
        return tracked.profile(self._clock())

    def _named(self, name: str, type: ProfileType) -> Tracked:
        for tracked in self._store.everything():
            if tracked.recorder.name == name and tracked.recorder.type == type:
                return tracked
        raise ValueError(f"{self._store.max_profiles} profiles are kept already; raise max_profiles")

    def list(self, type: ProfileType | None = None) -> Sequence[PerformanceProfile]:
        """All profiles, or those of one type."""
        return [profile for profile in self._store.snapshot() if type in (None, profile.type)]

    def get(self, profile_id: str) -> PerformanceProfile:
        """One profile.

        :raises KeyError: there is none of that id.
        """
        return self._tracked(profile_id).profile(self._clock())

    def update(self, profile_id: str, **changes: Any) -> PerformanceProfile:
        """Change fields of a profile's ``PerformanceProfileConfig``.

        :raises KeyError: there is no such profile. :raises ValueError: a field does not exist or fit.
        """
        tracked = self._tracked(profile_id)
        values = msgspec.to_builtins(tracked.config) | msgspec.to_builtins(changes)
        unknown = sorted(set(changes) - set(PerformanceProfileConfig.__dataclass_fields__))
        if unknown:
            raise ValueError(f"a profile has no setting {', '.join(unknown)}")
        config = msgspec.convert(values, PerformanceProfileConfig)
        _check(config)
        self._store.configure(profile_id, config)
        return tracked.profile(self._clock())

    def delete(self, profile_id: str) -> None:
        """Forget a profile, on every worker; the next request of its target begins a new one.

        :raises KeyError: there is no such profile.
        """
        tracked = self._tracked(profile_id)
        self._store.delete(profile_id)
        if self._sharing is not None:
            self._sharing.forget(tracked)

    def pin_baseline(self, profile_id: str, baseline: PerformanceBaseline | None = None) -> None:
        """``ProfileStore.pin_baseline``."""
        self._store.pin_baseline(profile_id, baseline)

    def baselines_from(self, path: str | Path) -> Sequence[str]:
        """``pin_baselines`` of an exported file.

        :raises OSError, ValueError: the file cannot be read, or is no export.
        """
        return self.pin_baselines(Path(path).read_bytes())

    def pin_baselines(self, data: bytes) -> Sequence[str]:
        """Pin the baselines of an export to the profiles of the same targets, made where missing.

        :return: the ids of the profiles that have one now.
        :raises ValueError: the data is no export, or there is no room.
        """
        pinned = []
        for one in _read(data).profiles:
            baseline = one.state.baseline
            if baseline is not None:
                profile = self.create(one.name, one.type)
                baseline.source = "file"
                self._store.pin_baseline(profile.id, baseline)
                pinned.append(profile.id)
        return pinned

    def export(self, profile_ids: Sequence[str] | None = None) -> bytes:
        """Profiles as JSON for ``import_``, all of them by default.

        :raises KeyError: there is no profile of one of the ids.
        """
        chosen = (
            self._store.everything() if profile_ids is None else [self._tracked(id) for id in profile_ids]
        )
        profiles = [
            Exported(
                one.recorder.type,
                one.recorder.name,
                one.created_at,
                msgspec.json.decode(state_of(one), type=State),
                pack(one.reading()),
            )
            for one in chosen
        ]
        return msgspec.json.encode(Export(FORMAT, self._clock(), profiles))

    def import_(self, data: bytes, *, counts: bool = True) -> Sequence[str]:
        """Take over exported profiles: their choices and baselines, and what they counted unless told not to.

        :return: their ids.
        :raises ValueError: the data is no export, or there is no room.
        """
        taken = []
        for one in _read(data).profiles:
            self.create(one.name, one.type)
            tracked = self._named(one.name, one.type)
            tracked.created_at = min(tracked.created_at, one.created_at)
            restore_state(tracked, msgspec.json.encode(one.state))
            if counts:
                tracked.recorder.absorb(unpack(one.counts))
            taken.append(tracked.id)
        return taken

    def compare(self, first: str, second: str, seconds: float | None = None) -> Comparison:
        """Two profiles side by side, since the start or over the last ``seconds`` (at most a day).

        :raises KeyError: there is no such profile.
        """
        sides = [self._tracked(first), self._tracked(second)]
        now = self._clock()
        one, two = (side.reading() if seconds is None else side.window(seconds, now) for side in sides)
        scores = [side.profile(now).performance.current_score for side in sides]
        return _compared((first, one), (second, two), (scores[0], scores[1]))

    def compare_periods(self, profile_id: str, seconds: float) -> Comparison:
        """A profile in the ``seconds`` before the last ``seconds`` (first), and in the last (second).

        The bound between them is that of a slot: five seconds for minutes, an hour for a day.

        :raises KeyError: there is no such profile.
        """
        tracked, now = self._tracked(profile_id), self._clock()
        before, after = Reading(), Reading()
        for slot in tracked.windows.course(2.0 * seconds, now):
            (after if (slot.start + slot.end) / 2 > now - seconds else before).add(slot.reading)
        live = tracked.recorder.live()
        if live is not None:
            after.add(live)
        return _compared(("before", before), ("now", after), (None, None))

    def _tracked(self, profile_id: str) -> Tracked:
        tracked = self._store.tracked(profile_id)
        if tracked is None:
            raise KeyError(f"no profile {profile_id!r}")
        return tracked


def _check(config: PerformanceProfileConfig) -> None:
    targets = config.targets
    if targets is not None and not (targets.latency > 0.0 <= targets.throughput):
        raise ValueError("a target is a latency of more than 0 seconds, and a throughput of 0 or more")
    if config.apdex_t is not None and not config.apdex_t > 0.0:
        raise ValueError("apdex_t is a time of more than 0 seconds")


def _compared(
    first: tuple[str, Reading], second: tuple[str, Reading], scores: tuple[float | None, float | None]
) -> Comparison:
    """Two readings side by side; what one of them has no requests for is not known."""
    readings = first[1], second[1]
    one, two = (reading.sketch for reading in readings)
    figures: list[tuple[str, float | None, float | None, bool]] = [("mean", one.mean, two.mean, False)]
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        figures.append((name, one.quantile(q), two.quantile(q), False))
    figures.append(("error_rate", readings[0].error_rate, readings[1].error_rate, False))
    figures.append(("hit_rate", readings[0].hit_rate, readings[1].hit_rate, True))
    known = [(name, a if one.count else None, b if two.count else None, more) for name, a, b, more in figures]
    known.append(("score", *scores, True))
    grid = tuple((number + 0.5) / 50 for number in range(50))
    certain = 1.0 - rank_sum(one.quantiles(grid), two.quantiles(grid)) if one.count and two.count else 0.0
    differences = [_difference(*figure) for figure in known]
    return Comparison(first[0], second[0], differences, differences[0].better, certain, one.count, two.count)


def _difference(figure: str, first: float | None, second: float | None, more: bool) -> Difference:
    if first is None or second is None or first == second:
        change = 0.0 if first is not None and first == second else None
        return Difference(figure, first, second, change, "neither")
    better: Better = "second" if (second > first) is more else "first"
    return Difference(figure, first, second, second / first - 1.0 if first else None, better)


def _read(data: bytes) -> Export:
    export = msgspec.json.decode(data, type=Export)
    if export.perfmw_profiles != FORMAT:
        raise ValueError(f"the export is of format {export.perfmw_profiles}; this release reads {FORMAT}")
    return export
