"""The app behind ``perfmw.asgi:app``: found and wrapped when the server first calls it."""

from __future__ import annotations

from importlib import import_module

from perfmw.asgi.types import ASGIApp, Receive, Scope, Send


class TargetApp:
    """Stands for the app that ``PERFMW_TARGET`` names, wrapped.

    It is not made on import, since the middleware stands above this room and imports it (docs/design.md).
    A server calls it first for its lifespan; a target that cannot be loaded then fails the start-up.
    """

    def __init__(self) -> None:
        self._wrapped: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            wrapped = self.load()
        except Exception as error:
            if scope["type"] != "lifespan":
                raise
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await wrapped(scope, receive, send)

    def load(self) -> ASGIApp:
        """The wrapped app, made at the first call.

        :raises TargetError: PERFMW_TARGET is not set or names no app.
        """
        if self._wrapped is None:
            self._wrapped = import_module("perfmw.middleware").from_environment()
        assert self._wrapped is not None
        return self._wrapped
