"""Structured logs: one JSON object a line on stderr, or readable lines for a terminal.

An allowed call writes no line: the audit record is its trace. Fields are passed
as `extra={"fields": {...}}`; nothing secret may be in them.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

LOGGER = logging.getLogger("agent_gateway")


class JsonLines(logging.Formatter):
    """Render a record as one JSON object: at, level, logger, message, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class Lines(logging.Formatter):
    """Render a record for people: time, level, message, `key=value` fields."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        text = f"{at} {record.levelname.lower():7} {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "fields", None) or {}


def set_up(style: Literal["json", "console"], level: str, stream: TextIO = sys.stderr) -> None:
    """Send the process's logs to `stream` in one style; uvicorn's own go the same way."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if style == "json" else Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.error", "httpx2", "httpcore2", "mcp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log(level: int, message: str, *, exc_info: bool = False, **fields: object) -> None:
    """Write one line with fields; with `exc_info`, the traceback of the exception at hand too."""
    LOGGER.log(level, message, exc_info=exc_info, extra={"fields": fields})
