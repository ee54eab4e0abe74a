"""What the phases share and what outlives every snapshot: clocks, log, ledger, metrics."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent_gateway.audit.records import Seal
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import Clock, Ledger, Recorder
from agent_gateway.telemetry.metrics import Metrics
from gateway_policies.rates import RateTable


def _nobody(exchange: Exchange) -> None:
    """Nobody asked to hear of ended calls."""


@dataclass(slots=True)
class Services:
    """One worker's lasting parts, as the pipeline sees them.

    on_end  hears of each ended call, after its outcome is in the log (spans are made there)
    """

    clock: Clock
    monotonic_ns: Callable[[], int]
    recorder: Recorder
    ledger: Ledger
    seal: Seal
    metrics: Metrics
    rates: RateTable = field(default_factory=RateTable)
    on_end: Callable[[Exchange], None] = _nobody
