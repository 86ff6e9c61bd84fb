"""A small stack written to a temporary folder: one service, one program, the real data stores and emulators."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports

STACK = """
project: demo
location: us-central1
queues: queues.yaml
ports:
  web: {default: 18080, variable: WEB_PORT}
  echo: {default: 18081, variable: ECHO_PORT}
  postgres: {default: 15433, variable: PG_PORT}
  storage: {default: 14443, variable: STORAGE_PORT}
  workflows: {default: 18787, variable: WORKFLOWS_PORT}
  workflows-grpc: {default: 18788, variable: WORKFLOWS_GRPC_PORT}
  tasks: {default: 18123, variable: TASKS_PORT}
  tasks-grpc: {default: 18124, variable: TASKS_GRPC_PORT}
  metadata: {default: 18090, variable: METADATA_PORT}
accounts: {web: web@demo.iam.gserviceaccount.com, workflow: workflow@demo.iam.gserviceaccount.com}
postgres: {databases: [orders], fsync: false}
storage: {buckets: [photos]}
workflows: {service_account: workflow, directory: workflows, environment: {WEB_URL: "${url.web}"}}
environment: {GREETING: "${env.GREETING:-hello}"}
services:
  web:
    dockerfile: web/Dockerfile
    health: /health
    before: [[python, migrate.py]]
    environment: {DATABASE_URL: "${database.orders}"}
programs:
  echo: {command: [python, web/web.py, "${port.echo}"], port: echo, health: /health}
exports:
  WEB_URL: "${url.web}"
  QUOTED: "it's ${project}"
"""
QUEUES = "queues: [{name: work, rate_limits: {max_dispatches_per_second: 50}}]"
DOCKERFILE = 'FROM scratch\n# CMD ["no"]\nCMD ["python", "web.py", \\\n  "--from-image"]\n'
MIGRATE = """
import os, psycopg2
with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
    connection.cursor().execute("CREATE TABLE IF NOT EXISTS items (id int PRIMARY KEY)")
print("migrated")
"""
WEB = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid(), "argv": sys.argv[1:], "environment": dict(os.environ)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT") or sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="session")
def write_stack() -> Callable[..., Path]:
    """Give a function that writes the stack's files to a folder and returns the stack file."""

    def write(folder: Path, stack: str = STACK) -> Path:
        (folder / "workflows").mkdir(exist_ok=True)
        (folder / "web").mkdir(exist_ok=True)
        for name, text in (
            ("stack.yaml", stack),
            ("queues.yaml", QUEUES),
            ("web/Dockerfile", DOCKERFILE),
            ("web/migrate.py", MIGRATE),
            ("web/web.py", WEB),
            ("workflows/tell.yaml", "main: {steps: [{tell: {return: '${sys.get_env(\"WEB_URL\")}'}}]}\n"),
        ):
            (folder / name).write_text(text)
        return folder / "stack.yaml"

    return write


@pytest.fixture(scope="session")
def left_of() -> Callable[[list[psutil.Process]], list[psutil.Process]]:
    """Give a function that waits for processes to end and returns those that have not."""

    def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
        deadline = time.monotonic() + 10
        left = list(processes)
        while left and time.monotonic() < deadline:
            left = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
            time.sleep(0.02)
        return left

    return left_of


@pytest.fixture(scope="session")
def stack_text() -> str:
    """Give the text of the stack file."""
    return STACK


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, write_stack: Callable[..., Path]) -> Iterator[Stack]:
    """Give one running stack for all tests that do not end it."""
    folder = tmp_path_factory.mktemp("stack")
    config = load_stack_config(write_stack(folder))
    stack = Stack(config, folder / "state", free_ports(config), environment={"GREETING": "good day"})
    with stack:
        yield stack
    stack.remove_data()
