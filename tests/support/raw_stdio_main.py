"""A small MCP child that behaves as its argument says: `raw_stdio_main.py BEHAVIOUR`. Plain Python, starts fast.

It speaks the handshake era unless told otherwise. `tools/call` answers with the
name of the tool; the tools `die`, `hang`, `garbage`, `flood`, `large`, `wrong_id`, `deaf`,
`ask`, `seen`, `breed`, `ids` do what they say.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

seen: list[Any] = []


def say(**members: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | members) + "\n")
    sys.stdout.flush()


def text(value: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}]}


def die(number: Any, arguments: dict[str, Any]) -> None:
    os._exit(7)


def hang(number: Any, arguments: dict[str, Any]) -> None:
    say(method="notifications/progress", params={"progressToken": number, "progress": 1})


def garbage(number: Any, arguments: dict[str, Any]) -> None:
    for _ in range(arguments["lines"]):
        print("not json", flush=True)
    say(id=number, result=text("garbage"))


def flood(number: Any, arguments: dict[str, Any]) -> None:
    for step in range(arguments["count"]):
        say(method="notifications/progress", params={"progressToken": number, "progress": step})
    say(id=number, result=text("flood"))


def large(number: Any, arguments: dict[str, Any]) -> None:
    say(id=number, result=text("x" * arguments["size"]))


def wrong_id(number: Any, arguments: dict[str, Any]) -> None:
    say(id=number + 1000, result=text("another's"))
    say(method="notifications/progress", params={"progressToken": number + 1000, "progress": 1})
    say(id=number, result=text("wrong_id"))


def deaf(number: Any, arguments: dict[str, Any]) -> None:
    time.sleep(600)


def ask(number: Any, arguments: dict[str, Any]) -> None:
    say(id="p", method="ping")
    say(id="s", method="sampling/createMessage", params={})
    while arguments.get("waits") and not any(one.get("id") == "s" for one in seen):
        seen.append(json.loads(sys.stdin.readline()))
    say(id=number, result=text("ask"))


def breed(number: Any, arguments: dict[str, Any]) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    say(id=number, result=text(str(child.pid)))


def tell_seen(number: Any, arguments: dict[str, Any]) -> None:
    here = {"pid": os.getpid(), "seen": seen, "environ": dict(os.environ), "cwd": os.getcwd()}
    say(id=number, result=text(json.dumps(here)))


TOOLS = {
    "die": die, "hang": hang, "garbage": garbage, "flood": flood, "large": large, "wrong_id": wrong_id,
    "deaf": deaf, "ask": ask, "breed": breed, "seen": tell_seen,
}  # fmt: skip


def serve(asked: dict[str, Any], behaviour: str) -> None:
    method, number = asked.get("method"), asked.get("id")
    if method == "server/discover":
        if behaviour == "shy":
            sys.exit(1)
        if behaviour != "silent":
            say(id=number, error={"code": -32601, "message": "Method not found"})
    elif method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "raw"}}
        say(id=number, result=result)
    elif method == "tools/call":
        name = asked["params"]["name"]
        tool = TOOLS.get(name)
        if tool is None:
            say(id=number, result=text(name))
        else:
            tool(number, asked["params"].get("arguments", {}))
    elif method == "tools/list":
        say(id=number, result={"tools": [{"name": "hang"}]})


def main(behaviour: str) -> None:
    if behaviour == "absent":
        print("I refuse to start", file=sys.stderr, flush=True)
        sys.exit(1)
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        seen.append(asked)
        serve(asked, behaviour)
    while behaviour == "stubborn":
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
