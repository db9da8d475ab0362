"""Prints the routes of the Langflow that is installed beside this Python, with all
switches on: "METHOD PATH", sorted, WS for WebSockets. The folder that the first
argument names must be empty; it is the server's own."""

import os
import sys
from pathlib import Path

folder = Path(sys.argv[1])
os.environ |= {
    "DO_NOT_TRACK": "true",
    "LANGFLOW_CONFIG_DIR": str(folder),
    "LANGFLOW_DATABASE_URL": f"sqlite:///{folder}/langflow.db",
    "LANGFLOW_LOG_LEVEL": "CRITICAL",
    # Only these leave routes out when they are off; others let them answer 404.
    "LANGFLOW_FEATURE_WXO_DEPLOYMENTS": "true",
    "LANGFLOW_FEATURE_INSTANCE_MIGRATION": "true",
    "LANGFLOW_FEATURE_DATA_SUBJECT_REQUESTS": "true",
    "LANGFLOW_FEATURE_MVP_COMPONENTS": "true",
    "LANGFLOW_MCP_SERVER_ENABLED": "true",
}

from langflow.main import get_static_files_dir, setup_app  # noqa: E402


def walk(router, prefix=""):
    """Yields (method, path) of a router and of all that it includes."""
    for route in router.routes:
        if (included := getattr(route, "original_router", None)) is not None:  # FastAPI from 0.137 on
            yield from walk(included, prefix + route.include_context.prefix)
            continue
        path, kind = prefix + route.path, type(route).__name__
        if kind == "Mount":
            if route.path:
                sys.exit(f"{path} is mounted, and only the frontend at / is known to be")
            continue  # the frontend's files
        if path == "/api/{_path:path}":
            continue  # 404
        for method in ["WS"] if kind == "APIWebSocketRoute" else route.methods:
            yield method, path


found = set(walk(setup_app(get_static_files_dir()).router))
# The frontend's files have no routes of their own.
for file in get_static_files_dir().iterdir():
    found.add(("GET", f"/{file.name}/{{file}}" if file.is_dir() else f"/{file.name}"))
found.add(("GET", "/"))
print("\n".join(f"{method} {path}" for method, path in sorted(found, key=lambda f: (f[1], f[0]))))
