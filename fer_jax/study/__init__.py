"""The web study: people uncover blurred faces click by click in a browser, and every event is kept.

`make_study_folder` makes a study, `make_app` and `serve` run it, `tables` reads what people did. The console script
`fer-study` does all of this. Needs the extra `study`.
"""

from fer_jax.errors import MissingPackage

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingPackage("fer_jax.study wants the extra `study`: pip install 'fer-jax[study]'.") from error

from fer_jax.study.folder import make_study_folder
from fer_jax.study.listening import serve
from fer_jax.study.projection import tables
from fer_jax.study.server import make_app
from fer_jax.study.settings import Settings, read_settings
from fer_jax.study.store import Store

__all__ = ["Settings", "Store", "make_app", "make_study_folder", "read_settings", "serve", "tables"]
