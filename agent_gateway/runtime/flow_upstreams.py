"""From configuration and the folder of an Arazzo description to its running upstream."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_arazzo import ArazzoUpstream
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.mesh.approved import approved_tools
from agent_gateway.mesh.flows import approved_flows
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.runtime.api_upstreams import check_of, shown_tools
from agent_gateway.telemetry.logs import log
from agent_gateway.upstreams.workflows import Flow, FlowTools, Workflows
from context_mesh.openapi.tool import Tool
from gateway_policies.call import Capability, CapabilityKey
from mcp_registry.catalog import UpstreamCatalog
from mcp_registry.definitions import Finding
from mcp_registry.entries import Entry, make_entry

Step = tuple[str, str]  # an upstream, and its own name for a tool


@dataclass(frozen=True, slots=True)
class FlowInputs:
    """Everything that workflows are made from: equal inputs, same upstream.

    apis  what is approved of each API, for a workflow means its tools
    """

    config: ArazzoUpstream
    approvals: bytes
    apis: tuple[tuple[str, OpenApiUpstream, bytes], ...]

    @property
    def url(self) -> str:
        return ""

    @property
    def rules(self) -> EgressRules:
        return EgressRules()


def inputs_of(name: str, config: ArazzoUpstream, loaded: Loaded) -> FlowInputs:
    """Read what decides about an upstream of workflows."""
    apis = tuple(
        (other, api, _approvals(loaded, other, api))
        for other, api in sorted(loaded.config.upstreams.items())
        if isinstance(api, OpenApiUpstream) and api.enabled
    )
    return FlowInputs(config, _approvals(loaded, name, config), apis)


def _approvals(loaded: Loaded, name: str, config: ArazzoUpstream | OpenApiUpstream) -> bytes:
    file = loaded.base_dir / config.files(name)[0]
    return file.read_bytes() if file.is_file() else b""


def make_flows(name: str, inputs: FlowInputs, loaded: Loaded) -> Workflows:
    """Return the upstream of workflows; its folder is read when its tools are first asked for."""
    config = inputs.config
    folder = ApiFolder(loaded.base_dir / config.folder_of(name))

    def load() -> FlowTools:
        approved = approved_flows(folder, ApprovedApis(loaded, config))
        for finding in approved.findings:
            log(logging.WARNING, "a workflow is not served", upstream=name, why=finding)
        flows = [Flow(one, of, check_of(one.input_schema, one.full_schema)) for one, of in approved.served]
        return FlowTools(flows, dict(config.sources), approved.instructions)

    return Workflows(name, load, config.answer_chars)


class ApprovedApis(Mapping[str, Sequence[Tool]]):
    """The approved tools of APIs by name of a source description; an API is read when a workflow means it."""

    def __init__(self, loaded: Loaded, config: ArazzoUpstream) -> None:
        self._loaded = loaded
        known = {
            name: one
            for name, one in loaded.config.upstreams.items()
            if isinstance(one, OpenApiUpstream) and one.enabled
        }
        self._apis = {source: (name, known[name]) for source, name in config.sources.items() if name in known}
        self._apis |= {name: (name, one) for name, one in known.items() if name not in config.sources}
        self._read: dict[str, Sequence[Tool]] = {}

    def __getitem__(self, source: str) -> Sequence[Tool]:
        name, config = self._apis[source]
        if name not in self._read:
            folder = ApiFolder(self._loaded.base_dir / config.folder_of(name))
            self._read[name] = shown_tools(config, approved_tools(folder).tools)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._apis)

    def __len__(self) -> int:
        return len(self._apis)


def joined(
    parts: Sequence[UpstreamCatalog], steps: Mapping[str, Mapping[str, Sequence[Step]]]
) -> list[UpstreamCatalog]:
    """Return the parts of a catalogue in which each workflow is as risky as its riskiest step, and names its steps.

    steps  by upstream of workflows and tool; a workflow with a step that nobody serves is left out, and said so
    """
    known = {
        (one.capability.upstream, one.capability.native): one.capability
        for part in parts
        if part.name not in steps
        for one in part.entries
        if one.kind == "tools"
    }
    return [_with_steps(part, steps[part.name], known) if part.name in steps else part for part in parts]


def _with_steps(
    part: UpstreamCatalog, steps: Mapping[str, Sequence[Step]], known: Mapping[Step, Capability]
) -> UpstreamCatalog:
    entries: list[Entry] = []
    findings: list[Finding] = []
    for entry in part.entries:
        of = steps.get(entry.capability.native, ())
        missing = next((step for step in of if step not in known), None)
        if missing is not None or not of:
            what = f"its step `{missing[0]}: {missing[1]}` is not served" if missing else "it calls nothing"
            findings.append(Finding(part.name, entry.capability.native, what))
            continue
        entries.append(make_entry(_composed(entry.capability, [known[step] for step in of]), entry.definition))
    return replace(part, entries=tuple(entries), findings=(*part.findings, *findings))


def _composed(own: Capability, steps: Sequence[Capability]) -> Capability:
    keys: tuple[CapabilityKey, ...] = tuple(sorted(step.key for step in steps))
    return replace(
        own,
        risk=max([own.risk, *(step.risk for step in steps)]),
        read_only=own.read_only and all(step.read_only for step in steps),
        steps=keys,
    )
