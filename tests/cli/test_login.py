"""`agent-gateway login` and `logout`, as a person and a browser meet them."""

import asyncio
import json
import os
import sys
from pathlib import Path

import anyio
import httpx2
import pytest

from support.auth_servers import protected
from support.command_line import Run
from support.config_files import MINIMAL, write_config
from support.running import paths


@pytest.mark.requirement("upstream.login")
async def test_a_login_prints_where_to_go_and_never_a_token(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with anyio.fail_after(60):
        async with protected(listing=("read",)) as up:
            auth = "{kind: discover, grant: authorization_code}"
            entry = f"  asked: {{url: '{up.url}/mcp', allow_private: true, auth: {auth}}}\n"
            config = write_config(tmp_path, MINIMAL.replace("upstreams:\n", f"upstreams:\n{entry}"))
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent_gateway.cli.main", "-c", str(config), "login", "asked", "--no-browser",
                "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **paths(), "PLANNER_SECRET": "correct horse battery staple"},
            )  # fmt: skip
            assert child.stderr is not None
            assert await child.stderr.readline() == b"Grant access here:\n"
            url = (await child.stderr.readline()).decode().strip()
            assert url.startswith(f"{up.auth.url}/authorize?")
            async with httpx2.AsyncClient(follow_redirects=True) as browser:
                assert "close this window" in (await browser.get(url)).text
            out, err = await child.communicate()
            assert child.returncode == 0, err
            told = json.loads(out)
            assert (told["upstream"], told["issuer"], told["scope"]) == ("asked", up.auth.issuer, ["read"])
            assert not any(one in out.decode() + err.decode() for one in (*up.auth.tokens, *up.auth.refresh))
    dropped = Run(capfd, "-c", config, "logout", "asked", "--json")
    assert (dropped.code, dropped.data) == (0, {"upstream": "asked", "dropped": True})
    again = Run(capfd, "-c", config, "logout", "asked")
    assert (again.code, again.out) == (0, "there was no grant of `asked`\n")


@pytest.mark.parametrize("name", ["time", "tmie"])
def test_only_an_upstream_that_announces_its_authorization_is_logged_in_to(
    capsys: pytest.CaptureFixture[str], at_home: Path, name: str
) -> None:
    write_config(at_home)
    assert Run(capsys, "logout", name).code == 2
