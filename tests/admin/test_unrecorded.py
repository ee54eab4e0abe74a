"""While the audit log takes nothing, an operator changes nothing."""

from pathlib import Path

from agent_gateway.audit.log import AuditLog
from agent_gateway.stores.pin_store import Pinned, PinStore
from agent_gateway.stores.proposal_store import ProposalStore
from context_mesh.discovery.proposal import Proposal
from mcp_registry.servers import ServerEntry
from support.admin import admin_client
from support.gateways import gateway

BARE = """
tenants: {acme: {}}
agents: {planner: {tenant: acme, owner: ana}}
policies: {files: [main.cedar]}
"""


async def test_an_operator_s_word_that_cannot_be_recorded_changes_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path, BARE, main__cedar="permit (principal, action, resource);") as running:
        data, servers = running.worker.data, running.worker.gateway.servers
        document: dict[str, object] = {"name": "io.weather/sun", "description": "Weather.", "version": "1.0.0"}
        servers.publish(ServerEntry(document, "operator", "", "pending", "active", "", 1.0, 1.0, 1.0))
        pins, proposals = PinStore(data.pins), ProposalStore(data.proposals)
        pins.wait("api", "tools", [Pinned("alpha", "sha256:1", b"{}")], 1.0)
        proposals.put([Proposal("pets", "file", url="http://pets.example")], "here", 1.0)
        (proposed,) = proposals.all()
        version = {"name": "io.weather/sun", "version": "1.0.0"}
        pin = {"upstream": "api", "what": "tools", "name": "alpha", "pin": "sha256:1"}
        recorder = running.worker.gateway.services.recorder
        assert isinstance(recorder, AuditLog)
        await recorder.aclose()
        async with admin_client(running) as client:
            for path, said in (
                ("servers/approvals", {**version, "approval": "approved"}),
                ("servers/statuses", {**version, "status": "deleted"}),
                ("pins", {**pin, "verdict": "approved"}),
                ("pins", {**pin, "verdict": "rejected"}),
                ("proposals", {"name": "pets", "digest": proposed.digest, "verdict": "approved"}),
            ):
                answer = await client.post(f"/v1/{path}", json=said)
                assert (answer.status_code, path) == (503, path)
        (server,) = servers.entries()
        assert (server.approval, server.status) == ("pending", "active")
        assert [one.state for one in pins.waiting()] == ["pending"]
        assert proposals.all() == [proposed]
