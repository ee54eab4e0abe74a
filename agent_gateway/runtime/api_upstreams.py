"""From configuration and the folder of an API to its running upstream."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import orjson
from msgspec import Raw

from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_openapi import BasicAuth, KeyAuth, OpenApiUpstream, SchemeAuth
from agent_gateway.config.upstreams import HeaderAuth
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.identity.broker import ClientCredentials, posting
from agent_gateway.identity.scheme_secrets import Basic, Key, SchemeCredential, SchemeSecrets
from agent_gateway.mesh.approved import approved_tools
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.ports import Clock
from agent_gateway.runtime.schemas import BadSchema, NeverValid, SchemaMistake, Validator, compile_schema
from agent_gateway.stores.answers import KeptAnswers
from agent_gateway.telemetry.logs import log
from agent_gateway.upstreams.api_exchange import ExchangeLimits
from agent_gateway.upstreams.api_wire import ApiAccess
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings
from agent_gateway.upstreams.openapi import READ_RESULT, ApiSettings, ApiTool, ApiTools, Check, OpenApi
from agent_gateway.upstreams.workflows import Workflows
from context_mesh.openapi.tool import Risk, Tool
from context_mesh.wire.address import Site, origin_of
from context_mesh.wire.plan import Placing
from context_mesh.wire.read import Shape
from gateway_policies.principal import Principal
from mcp_registry.catalog import Rule

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]

RISKS: Mapping[Risk, int] = {Risk.READ: 2, Risk.CREATE: 4, Risk.WRITE: 6, Risk.DESTROY: 8}
"""Our grade on the scale of policies, 0 to 10, until an operator says otherwise."""


@dataclass(frozen=True, slots=True)
class ApiInputs:
    """Everything an API's upstream is made from: equal inputs, same upstream."""

    config: OpenApiUpstream
    approvals: bytes
    result_bytes: int
    secrets: tuple[tuple[str, SchemeCredential], ...]
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        return self.config.url

    @property
    def rules(self) -> EgressRules:
        return EgressRules(allow_private=self.config.allow_private)


def inputs_of(name: str, config: OpenApiUpstream, loaded: Loaded) -> ApiInputs:
    """Read what decides about an upstream; a folder that is not there has approved nothing."""
    file = loaded.base_dir / config.files(name)[0]
    approvals = file.read_bytes() if file.is_file() else b""
    secrets = tuple((scheme, _credential(auth, config, loaded)) for scheme, auth in sorted(config.schemes.items()))
    fields = tuple((name, loaded.reveal(value)) for name, value in sorted(config.body_secrets.items()))
    return ApiInputs(config, approvals, config.result_bytes or loaded.config.limits.result_bytes, secrets, fields)


def make_api(name: str, inputs: ApiInputs, loaded: Loaded, always: Credentials, clock: Clock) -> OpenApi:
    """Return the upstream of an API; its folder is read when its tools are first asked for."""
    config = inputs.config
    rules = inputs.rules
    pool = HttpPool(
        PoolSettings(
            rules=rules,
            max_connections=config.max_connections,
            max_waiting=config.max_waiting,
            connect_timeout_s=config.connect_timeout_s,
        )
    )
    schemes = SchemeSecrets(
        config.url,
        dict(inputs.secrets),
        post_form=posting(ControlClient(rules)),
        clock=clock,
        has_default=config.auth.kind != "none",
    )
    exchange = ExchangeLimits(
        max_body=inputs.result_bytes,
        downloads=frozenset(origin_of(url) for url in config.downloads),
        poll_s=config.poll_s,
    )
    folder = ApiFolder(loaded.base_dir / config.folder_of(name))

    def load() -> ApiTools:
        approved = approved_tools(folder)
        for finding in approved.findings:
            log(logging.WARNING, "a tool of an API is not served", upstream=name, why=finding)
        return ApiTools(served(config, approved.tools), approved.instructions)

    site = Site(config.url, dict(config.servers), dict(config.variables))
    settings = ApiSettings(name, site, exchange, Shape(max_chars=config.answer_chars))
    answers = KeptAnswers(loaded.data_dir / "answers" / name, clock)
    return OpenApi(settings, load, pool, ApiAccess(always, schemes, dict(inputs.fields)), answers, clock)


def served(config: OpenApiUpstream, tools: Sequence[Tool]) -> list[ApiTool]:
    """Return tools as they are served: with their site, their definition and their whole schema."""
    site = Site(config.url, dict(config.servers), dict(config.variables))
    found: list[ApiTool] = []
    for tool in shown_tools(config, tools):
        places = frozenset(
            place.partition(".")[2] for place in config.slashes_in if place.partition(".")[0] == tool.name
        )
        definition = Raw(orjson.dumps(tool.definition()))
        found.append(
            ApiTool(
                tool, Placing(site, tool.arguments, places), definition, check_of(tool.input_schema, tool.full_schema)
            )
        )
    return found


def shown_tools(config: OpenApiUpstream, tools: Sequence[Tool]) -> Sequence[Tool]:
    """Return tools without the arguments that would set the operator's own header."""
    auth = config.auth
    return [_without(tool, auth.name) for tool in tools] if isinstance(auth, HeaderAuth) else tools


def _without(tool: Tool, header: str) -> Tool:
    """Return a tool without the arguments that would set the operator's own header."""
    own = {
        one.name
        for one in tool.arguments
        if one.parameter is not None
        and one.parameter.location == "header"
        and one.parameter.name.lower() == header.lower()
    }
    if not own:
        return tool
    whole = _schema_without(tool.full_schema, own)
    shown = whole if tool.input_schema is tool.full_schema else _schema_without(tool.input_schema, own)
    left = tuple(one for one in tool.arguments if one.name not in own)
    return replace(tool, input_schema=shown, full_schema=whole, arguments=left)


def _schema_without(schema: Mapping[str, object], names: set[str]) -> dict[str, object]:
    changed = dict(schema)
    properties = cast("Mapping[str, object]", schema.get("properties", {}))
    changed["properties"] = {name: one for name, one in properties.items() if name not in names}
    required = [name for name in cast("list[str]", schema.get("required", [])) if name not in names]
    changed.pop("required", None)
    return {**changed, "required": required} if required else changed


def check_of(published: Mapping[str, object], whole: Mapping[str, object]) -> Check | None:
    """Return what holds arguments to the whole schema, None when the published one is the whole."""
    if whole is published:
        return None
    try:
        validator: Validator = compile_schema(whole)
    except BadSchema as error:
        validator = NeverValid(str(error))  # doubt denies: what cannot be checked is not sent
    return lambda arguments: cast("Sequence[SchemaMistake]", [*validator.iter_errors(arguments)][:8])


def grades_of(upstream: object) -> Sequence[Rule]:
    """Return our grades of an API's tools, as the rules that an operator's come after."""
    if isinstance(upstream, Workflows):  # its steps say what it may do
        return [Rule(name, risk=0, read_only=True) for name in upstream.steps]
    if not isinstance(upstream, OpenApi):
        return ()
    reads_on = Rule(READ_RESULT, risk=0, read_only=True)
    return [reads_on] + [
        Rule(
            tool.name,
            tags=frozenset(f"api-{name}"[:32] for name in map(_tag, tool.toolsets) if name),
            risk=RISKS[tool.risk],
            read_only=tool.risk is Risk.READ,
        )
        for tool in upstream.tools
    ]


def _tag(toolset: str) -> str:
    return "-".join("".join(char if char.isascii() and char.isalnum() else " " for char in toolset.lower()).split())


def _credential(auth: SchemeAuth, config: OpenApiUpstream, loaded: Loaded) -> SchemeCredential:
    if isinstance(auth, KeyAuth):
        return Key(loaded.reveal(auth.value))
    if isinstance(auth, BasicAuth):
        return Basic(auth.username, loaded.reveal(auth.password))
    return ClientCredentials(
        auth.token_url, auth.client_id, loaded.reveal(auth.client_secret), auth.scope or "", auth.resource or config.url
    )
