import pytest

from .jobs import Job


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory, root):
    """What a small run leaves that nobody interrupted."""
    job = Job(tmp_path_factory.mktemp("jobs") / "unbroken", root)
    job.finish()
    return job.result()
