"""Envoy with a policy: a signed token (cached), the MCP message parsed, the tool allowed by name; nothing is kept."""

import json
import time
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

from demos.bench import recipes, serving

HERE = Path(__file__).parent
ISSUER, AUDIENCE, TOOL = "https://idp.bench", "bench", "echo"
LIFE_S = 36_000


def start(ground: recipes.Ground) -> recipes.System:
    """Start Envoy as a policy point before the stub; raises `Missing` when it is not there."""
    argv = recipes.envoy_command()
    port = serving.free_port()
    key = ECKey.generate_key("P-256", {"kid": "bench", "alg": "ES256", "use": "sig"})
    key_set = ground.scratch / "envoy-keys.json"
    key_set.write_text(json.dumps({"keys": [key.as_dict(private=False)]}), encoding="utf-8")
    text = (HERE / "envoy-policy.yaml").read_text(encoding="utf-8")
    filled = {
        "LISTEN_PORT": str(port),
        "UPSTREAM_PORT": str(ground.stub.port),
        "KEY_SET": str(key_set),
        "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE,
        "TOOL": TOOL,
    }
    for name, value in filled.items():
        text = text.replace(name, value)
    config = ground.scratch / "envoy-policy.yaml"
    config.write_text(text, encoding="utf-8")
    options = ["-c", str(config), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    server = ground.start("envoy-policy", [*argv, *options])
    url, token = f"http://127.0.0.1:{port}/mcp", _token(key)
    target = recipes.call(url, TOOL, token=token)
    serving.wait_until(server, lambda: recipes.answers(target), within_s=recipes.PROXY_START_S)
    return recipes.System(
        "envoy-policy",
        target,
        server,
        version=recipes.version_of([*argv, "--version"]),
        denied={
            "a call without a token": recipes.call(url, TOOL),
            "a tool that is not allowed": recipes.call(url, "other", token=token),
        },
    )


def _token(key: ECKey) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "iat": now, "exp": now + LIFE_S}
    return jwt.encode({"alg": "ES256", "kid": "bench"}, claims, key)


ENVOY_POLICY = recipes.Recipe("envoy-policy", "token, MCP parsed, tool allowed by name; one worker", start)
