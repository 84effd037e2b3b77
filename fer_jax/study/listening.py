"""The study's server on a port: it listens, cuts slow senders off, and gives way where connections are too many.

Contract: uvicorn waits for ever for the head of a request, and counts no connection that sends none. Here a head has so
many seconds, and of too many connections the quietest is closed, so that nobody is kept out by people who only wait.
"""

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10
IDLE_SECONDS = 30
# Far more than the people of a study need: a browser opens six.
MAX_CONNECTIONS = 2_000
SPARE_FILES = 100


def serve(app: Any, *, host: str, port: int, certfile: str | None, keyfile: str | None, ready=None) -> None:
    """Serve until the process is asked to end.

    Args:
      app: from `make_app`.
      host: address to listen at.
      port: number, 0 for a free one.
      certfile: of TLS, or None.
      keyfile: of TLS, or None.
      ready: called with the port when the server listens.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            if ready is not None and self.started:
                ready(self.servers[0].sockets[0].getsockname()[1])

    with contextlib.suppress(KeyboardInterrupt):
        Server(_configured(app, host=host, port=port, ssl_certfile=certfile, ssl_keyfile=keyfile)).run()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve from a thread of this process, on a free port of this machine. Yields the port.

    Args:
      app: from `make_app`.
    """
    served = uvicorn.Server(_configured(app))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            served.should_exit = True
            thread.join()


class _Connection(H11Protocol):
    """A connection that must send the head of a request in time, and that gives way where there are too many."""

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= _room():
            oldest = min(self.connections, key=lambda one: getattr(one, "heard", 0.0))
            self.connections.discard(oldest)
            oldest.transport.abort()
        super().connection_made(transport)
        self._begun, self.heard = self.cycle, self.loop.time()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def handle_events(self) -> None:
        super().handle_events()
        # uvicorn ends its wait at the first byte of a head. This one goes on until the head is whole.
        if self.cycle is not self._begun:
            self._begun, self.heard = self.cycle, self.loop.time()
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


def _room() -> int:
    """Return how many connections may be open: files of the study and of Python need some descriptors, too."""
    return min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)


def _configured(app, **more) -> uvicorn.Config:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
    return uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_config=None,  # uvicorn's would close the log handlers of whoever calls this
        log_level="error",
        server_header=False,
        date_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=5,
        lifespan="off",
        **more,
    )
