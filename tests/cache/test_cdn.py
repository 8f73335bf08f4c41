"""A CDN: the fields it is sent, and purges that reach a real HTTP receiver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache.cdn import CdnFields, cdn_tag, purges_of
from perfmw.cache.purging import HttpPurger, PurgeQueue
from perfmw.contracts import Purge, PurgeError
from perfmw.settings import Cdn, SettingsError
from perfmw.testing import ContractError, PurgerContract, run_contract

pytestmark = pytest.mark.anyio


class Receiver:
    """An HTTP server that notes what it is asked and answers as it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.command, self.path, headers))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_PURGE = do_BAN = do_POST = _answer  # noqa: N815  # as http.server has it

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


class Listed:
    """A purger that notes its calls, and fails as often as it is told to."""

    name = "listed"

    def __init__(self, failures: Sequence[Exception] = (), **limits: int) -> None:
        self.limits = limits or {"url": 1, "tag": 3, "prefix": 1}
        self.calls: list[list[Purge]] = []
        self.failures = list(failures)
        self.closed = False

    async def purge(self, purges: Sequence[Purge]) -> None:
        self.calls.append(list(purges))
        if self.failures:
            raise self.failures.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def carried_out(queue: PurgeQueue, seconds: float = 10.0) -> int:
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    left = await queue.flush(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return left


def tags(*names: str, soft: bool = False) -> list[Purge]:
    return [Purge("tag", name, soft) for name in names]


# ---- fields


def test_fields_carry_freshness_and_tags() -> None:
    fields = CdnFields(Cdn(cache_control="CDN-Cache-Control", tags="Surrogate-Key"))
    assert fields.of({"b", "a"}, 60.9, stale_while_revalidate=30, stale_if_error=0) == [
        (b"cdn-cache-control", b"max-age=60, stale-while-revalidate=30"),
        (b"surrogate-key", b"a b"),
    ]
    assert CdnFields(Cdn(tags="Cache-Tag")).of({"b", "a"}, 60) == [(b"cache-tag", b"a,b")]


def test_freshness_that_the_app_gives_the_cdn_itself_is_left_to_it() -> None:
    fields = CdnFields(Cdn(cache_control="Surrogate-Control", tags="xkey"))
    own = [(b"surrogate-control", b"max-age=5")]
    assert fields.of({"a"}, 60, own=own) == [(b"xkey", b"a")]


def test_what_could_not_be_purged_is_kept_out_of_the_cdn() -> None:
    fields = CdnFields(Cdn(cache_control="CDN-Cache-Control", tags="Cache-Tag"))
    assert fields.of({f"tag-{number}" for number in range(2_000)}, 60) == [
        (b"cdn-cache-control", b"no-store")
    ]


@given(st.text(max_size=30))
def test_a_tag_never_breaks_the_field_it_is_in(tag: str) -> None:
    encoded = cdn_tag(tag)
    assert encoded.isascii()
    assert not {" ", ",", "\r", "\n", "\t", '"'} & set(encoded)


@given(st.text(max_size=8), st.text(max_size=8))
def test_different_tags_stay_different(one: str, other: str) -> None:
    assert (cdn_tag(one) == cdn_tag(other)) == (one == other)


def test_only_urls_and_tags_mean_something_to_a_cdn() -> None:
    keys = ["GET https://shop.example/a?b=1", "GET https://shop.example/v {accept=json}", "fn:f:1"]
    assert list(purges_of(keys, ["route:GET /items/{id}"], "fn:f:", soft=False)) == [
        Purge("url", "https://shop.example/a?b=1"),
        Purge("tag", "route:GET%20/items/{id}"),
    ]
    assert list(purges_of([], [], "GET https://shop.example/blog/", soft=True)) == [
        Purge("prefix", "https://shop.example/blog/", True)
    ]


# ---- the queue


async def test_purges_of_a_kind_go_together_up_to_the_limit() -> None:
    purger = Listed()
    queue = PurgeQueue(purger)
    queue.offer([Purge("url", "http://a/"), *tags("1", "2", "3", "4"), Purge("url", "http://b/")])
    assert await carried_out(queue) == 0
    assert [[purge.value for purge in call] for call in purger.calls] == [
        ["http://a/"],
        ["http://b/"],
        ["1", "2", "3"],
        ["4"],
    ]
    info = queue.info()
    assert (info.kind, info.invalidations, info.queued, info.errors) == ("cdn", 6, 0, 0)


async def test_what_waits_already_is_not_queued_again_and_hard_replaces_soft() -> None:
    purger = Listed()
    queue = PurgeQueue(purger)
    queue.offer([*tags("a", soft=True), *tags("a"), *tags("a", soft=True), *tags("b", soft=True)])
    await carried_out(queue)
    assert purger.calls == [tags("a"), tags("b", soft=True)]


async def test_a_kind_that_the_cdn_does_not_know_is_left_out() -> None:
    queue = PurgeQueue(Listed(tag=5))
    queue.offer([Purge("url", "http://a/"), Purge("prefix", "http://a/b")])
    assert len(queue) == 0


async def test_a_failure_is_tried_again_and_a_refusal_is_not() -> None:
    purger = Listed([OSError("gone"), PurgeError("busy"), PurgeError("no", retry=False)], tag=1)
    queue = PurgeQueue(purger, first_pause=0.001)
    queue.offer(tags("a", "b", "c"))
    assert await carried_out(queue) == 0
    assert [call[0].value for call in purger.calls] == ["a", "a", "a", "b", "c"]
    assert (queue.done, queue.failed, queue.healthy) == (2, 1, True)


async def test_what_fails_too_often_is_given_up() -> None:
    purger = Listed([OSError("gone")] * 9, tag=9)
    queue = PurgeQueue(purger, first_pause=0.0001, attempts=3)
    queue.offer(tags("a", "b"))
    assert await carried_out(queue) == 0
    assert (len(purger.calls), queue.done, queue.failed, queue.healthy) == (3, 0, 2, False)


async def test_the_queue_is_bounded() -> None:
    queue = PurgeQueue(Listed(), room=3)
    queue.offer(tags(*map(str, range(10))))
    assert (len(queue), queue.dropped) == (3, 7)
    await queue.close()
    assert (len(queue), queue.dropped) == (0, 10)


async def test_other_threads_may_offer() -> None:
    purger = Listed(tag=100)
    queue = PurgeQueue(purger)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    await asyncio.to_thread(queue.offer, tags("a", "b"))
    for _ in range(1_000):
        if queue.done == 2:
            break
        await asyncio.sleep(0.001)
    assert purger.calls == [tags("a", "b")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await queue.close()
    assert purger.closed


# ---- over the wire


async def test_a_varnish_is_purged_by_url_and_banned_by_tag_and_prefix(receiver: Receiver) -> None:
    cdn = Cdn(
        tags="xkey",
        purge_url=receiver.origin + "{path}",
        ban_url=receiver.origin + "/",
        ban_prefix="X-Prefix",
    )
    queue = PurgeQueue(HttpPurger(cdn))
    queue.offer(purges_of(["GET https://shop.example/a?b=1"], ["t 1", "u"], None, soft=False))
    queue.offer(purges_of([], [], "GET https://shop.example/blog", soft=False))
    assert await carried_out(queue) == 0
    [(method, path, headers), (ban, ban_path, ban_headers), (third, _, third_headers)] = receiver.requests
    assert (method, path, headers["host"]) == ("PURGE", "/a?b=1", "shop.example")
    assert (ban, ban_path, ban_headers["xkey"]) == ("BAN", "/", "t%201 u")
    assert (third, third_headers["x-prefix"]) == ("BAN", "https://shop.example/blog")
    assert queue.done == 4


async def test_an_interface_with_a_token_and_soft_purges(receiver: Receiver) -> None:
    cdn = Cdn(
        ban_url=receiver.origin + "/service/7/purge",
        ban_method="POST",
        ban_tags="Surrogate-Key",
        soft="Fastly-Soft-Purge",
        token="Fastly-Key",
        purge_url=receiver.origin + "/purge/{host}{path}",
        purge_method="POST",
    )
    queue = PurgeQueue(HttpPurger(cdn, "secret"))
    queue.offer(purges_of(["GET https://shop.example/a"], ["x"], None, soft=True))
    assert await carried_out(queue) == 0
    [(method, path, headers), (_, ban_path, ban_headers)] = receiver.requests
    assert (method, path) == ("POST", "/purge/shop.example/a")
    assert headers["fastly-key"] == ban_headers["fastly-key"] == "secret"
    assert headers["fastly-soft-purge"] == "1"
    assert (ban_path, ban_headers["surrogate-key"]) == ("/service/7/purge", "x")


async def test_authorization_gets_a_bearer_token(receiver: Receiver) -> None:
    queue = PurgeQueue(HttpPurger(Cdn(ban_url=receiver.origin), "secret"))
    queue.offer(tags("x"))
    await carried_out(queue)
    assert receiver.requests[0][2]["authorization"] == "Bearer secret"


@pytest.mark.parametrize(("status", "asked", "failed"), [(503, 2, 0), (429, 2, 0), (403, 1, 1), (301, 1, 1)])
async def test_an_answer_says_whether_to_try_again(
    receiver: Receiver, status: int, asked: int, failed: int
) -> None:
    receiver.answers = [status]
    queue = PurgeQueue(HttpPurger(Cdn(ban_url=receiver.origin)), first_pause=0.001)
    queue.offer(tags("x"))
    await carried_out(queue)
    assert (len(receiver.requests), queue.failed) == (asked, failed)


async def test_a_url_that_is_not_there_is_purged(receiver: Receiver) -> None:
    receiver.answers = [404]
    queue = PurgeQueue(HttpPurger(Cdn(purge_url=receiver.origin + "{path}")))
    queue.offer([Purge("url", "http://shop.example/gone")])
    await carried_out(queue)
    assert (queue.done, queue.failed) == (1, 0)


async def test_a_receiver_that_is_gone_is_a_failure(receiver: Receiver) -> None:
    origin = receiver.origin
    receiver.close()
    queue = PurgeQueue(HttpPurger(Cdn(ban_url=origin)), first_pause=0.001, attempts=2)
    queue.offer(tags("x"))
    await carried_out(queue)
    assert (queue.failed, queue.healthy) == (1, False)
    receiver.__init__()  # type: ignore[misc]  # for the fixture, which closes it


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x/", "http"),
        ("http://", "http"),
        ("http://{host}/", "http"),
        ("http://api{host}/", "host is named in full"),
        ("http://api/{what}", "what"),
        ("http://a b/", "http"),
    ],
)
def test_where_to_purge_is_checked(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Cdn(purge_url=url)


def test_the_http_purger_keeps_the_contract(receiver: Receiver) -> None:
    cdn = Cdn(
        purge_url=receiver.origin + "{path}", ban_url=receiver.origin, ban_prefix="X-Prefix", soft="Soft"
    )

    class Suite(PurgerContract):
        def make(self) -> HttpPurger:
            return HttpPurger(cdn, "secret")

    run_contract(Suite)
    assert {method for method, _, _ in receiver.requests} == {"PURGE", "BAN"}


@pytest.mark.parametrize("limits", [{}, {"urls": 1}, {"tag": 0}, {"tag": "3"}])
def test_the_contract_finds_wrong_limits(limits: Any) -> None:
    class Wrong(Listed):
        def __init__(self) -> None:
            super().__init__()
            self.limits = limits

    class Suite(PurgerContract):
        def make(self) -> Wrong:
            return Wrong()

    with pytest.raises(ContractError):
        run_contract(Suite)


def test_the_contract_finds_a_purger_that_raises_what_it_likes() -> None:
    class Suite(PurgerContract):
        def make(self) -> Listed:
            return Listed([KeyError("x")])

    with pytest.raises((ContractError, KeyError)):
        run_contract(Suite)
