"""What every ``Purger`` promises, checked from the outside."""

from __future__ import annotations

from perfmw.contracts import Purge, PurgeError, PurgeKind, Purger
from perfmw.testing.checks import Contract, check

_KINDS: tuple[PurgeKind, ...] = ("url", "tag", "prefix")


class PurgerContract(Contract):
    """What every ``Purger`` promises. ``make`` gives one whose CDN, or what stands in for it, is there."""

    def make(self) -> Purger:
        raise NotImplementedError("say how to make the purger")

    def test_it_has_a_name(self) -> None:
        name = self.make().name
        check(isinstance(name, str) and bool(name), f"name is a text, not {name!r}")

    def test_limits_are_of_known_kinds(self) -> None:
        limits = self.make().limits
        check(bool(limits), "a purger that purges nothing is of no use")
        for kind, limit in limits.items():
            check(kind in _KINDS, f"{kind!r} is none of {', '.join(_KINDS)}")
            check(type(limit) is int and limit >= 1, f"the limit of {kind} is {limit!r}; at least 1 fits")

    def test_it_takes_as_many_as_it_says_soft_and_hard_and_again(self) -> None:
        async def scenario() -> None:
            purger = self.make()
            try:
                for kind, limit in purger.limits.items():
                    for soft in (False, True, True):
                        await self._purge(purger, kind, limit, soft)
            finally:
                await purger.aclose()

        self.run(scenario)

    async def _purge(self, purger: Purger, kind: str, limit: int, soft: bool) -> None:
        known: PurgeKind = next(one for one in _KINDS if one == kind)
        value = "tag:%d" if kind == "tag" else "https://shop.example/items/%d?a=b"
        purges = [Purge(known, value % number, soft) for number in range(min(limit, 50))]
        try:
            await purger.purge(purges)
        except PurgeError as error:
            check(isinstance(error.retry, bool), "a PurgeError says whether to try again")

    def test_it_may_be_closed_unused_and_twice(self) -> None:
        async def scenario() -> None:
            purger = self.make()
            await purger.aclose()
            await purger.aclose()

        self.run(scenario)
