"""Import all modules of the service and the runtime, and what is imported late.

The build of the image runs it when the packages have been made small.
"""

import importlib
import pkgutil

PACKAGES = (
    "corejob",
    "corejob_process",
    "corejob_kube",
    "corejob_journal",
    "corejob_operator",
    "corejob_api",
    "core4",
)
LATE = (
    "alembic.command",
    "kubernetes.aio.client",
    "kubernetes.aio.config",
    "psycopg_binary",
    "rich.cells",
    "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.h11_impl",
)

for package in PACKAGES:
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        # Those run when they are imported.
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
for name in LATE:
    importlib.import_module(name)
