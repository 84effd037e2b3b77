import jax
import pytest


@pytest.fixture
def compilations():
    """A list that grows by one for each program the backend compiles (or fetches from the cache on disk)."""
    seen = []

    def listen(event, seconds, **details):
        del seconds, details
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)
