"""Log lines: one JSON object each, or text for people; fields beside the message, tracebacks when asked."""

import io
import logging

import orjson
import pytest

from agent_gateway.telemetry.logs import log, set_up


@pytest.fixture(autouse=True)
def _root() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("uvicorn.error", "httpx2", "httpcore2", "mcp"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_json_line_holds_time_level_message_and_fields() -> None:
    stream = io.StringIO()
    set_up("json", "info", stream)
    log(logging.WARNING, "the catalogue changed", tools=3)
    line = orjson.loads(stream.getvalue())
    assert (line["level"], line["message"], line["tools"]) == ("warning", "the catalogue changed", 3)
    assert line["at"].endswith("+00:00")


def test_a_message_with_a_line_break_stays_one_line() -> None:
    stream = io.StringIO()
    set_up("json", "info", stream)
    log(logging.INFO, "evil\nline", why="a\nb")
    assert stream.getvalue().count("\n") == 1


def test_lines_for_people_show_fields_behind_the_message() -> None:
    stream = io.StringIO()
    set_up("console", "info", stream)
    log(logging.INFO, "serving", slot="0")
    log(logging.DEBUG, "not shown")
    assert stream.getvalue().endswith("serving slot=0\n")


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_is_there_when_asked_for(style: str) -> None:
    stream = io.StringIO()
    set_up("json" if style == "json" else "console", "info", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        log(logging.ERROR, "failed", exc_info=True)
    assert "ValueError: broken" in stream.getvalue()
