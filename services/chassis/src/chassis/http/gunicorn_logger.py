"""gunicorn's own records in the services' form, so that no line of a service is anything but JSON.

Named in each Dockerfile: `--logger-class chassis.http.gunicorn_logger.GunicornLogger`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from gunicorn.glogging import Logger

from chassis.logs import log_formatter


class GunicornLogger(Logger):  # type: ignore[misc]
    """Writes starts, signals and worker exits to stdout; gunicorn's access log stays off, ours is the one."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's handler; called in the master and, after a reload, again."""
        super().setup(cfg)
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(log_formatter(service=cfg.proc_name.split(".")[0], project="", revision=""))
        self.error_log.handlers = [handler]
