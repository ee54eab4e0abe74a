"""A museum's API, for real: the service behind `tests/specs/museum.yaml`, which its makers only imagined.

`python demos/museum.py PORT` serves it on loopback. Everything needs the user `gateway` and the password `museum`.
"""

import base64
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USER, PASSWORD = "gateway", "museum"
PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
EVENTS: Final = {
    f"3be6453c-03eb-4357-ae5a-98{number:010d}": {
        "name": name, "location": place, "eventDescription": what, "dates": [day], "price": price,
    }
    for number, (name, place, what, day, price) in enumerate(
        [
            ("Sasquatch Ballet", "Seattle... probably", "They're big, they're hairy", "2026-12-15", 40),
            ("Pirate Coding Workshop", "Computer Room", "Captain Blackbeard loves C", "2026-12-09", 25),
            ("Time Traveler Tea", "Temporal Tearoom", "Sip with important historians", "2026-12-18", 60),
        ]
    )
}  # fmt: skip


class Museum:
    """What there is to see, and who bought a ticket for it."""

    def __init__(self) -> None:
        self.events = dict(EVENTS)
        self.tickets: dict[str, dict[str, Any]] = {}

    def shown(self, event_id: str) -> dict[str, Any]:
        return {"eventId": event_id, **self.events[event_id]}

    async def hours(self, request: Request) -> Response:
        days = [{"date": f"2026-12-{day:02d}", "timeOpen": "09:00", "timeClose": "18:00"} for day in range(1, 32)]
        return JSONResponse(days[: int(request.query_params.get("limit", "10"))])

    async def special_events(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse([self.shown(event_id) for event_id in self.events])
        event_id = str(uuid.uuid4())
        self.events[event_id] = await request.json()
        return JSONResponse(self.shown(event_id), 201)

    async def event(self, request: Request) -> Response:
        event_id = request.path_params["event_id"]
        if event_id not in self.events:
            return problem(404, f"there is no event {event_id}")
        if request.method == "DELETE":
            del self.events[event_id]
            return Response(status_code=204)
        if request.method == "PATCH":
            self.events[event_id] |= await request.json()
        return JSONResponse(self.shown(event_id))

    async def buy(self, request: Request) -> Response:
        order = await request.json()
        if order.get("ticketType") == "event" and order.get("eventId") not in self.events:
            return problem(404, "there is no such event: list the special events first")
        ticket_id = str(uuid.uuid4())
        code = f"ticket-{order['ticketType']}-{ticket_id[:6]}"
        self.tickets[ticket_id] = {**order, "ticketId": ticket_id, "message": "purchased", "confirmationCode": code}
        return JSONResponse(self.tickets[ticket_id], 201)

    async def code(self, request: Request) -> Response:
        is_sold = request.path_params["ticket_id"] in self.tickets
        return Response(PNG, media_type="image/png") if is_sold else problem(404, "there is no such ticket")


Answer = Callable[[Request], Awaitable[Response]]


def behind_the_desk(answer: Answer) -> Answer:
    """Return an answer for those only who say who they are."""
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    async def asked(request: Request) -> Response:
        known = request.headers.get("authorization") == expected
        return await answer(request) if known else problem(401, "who are you?")

    return asked


def app() -> Starlette:
    """Return the museum's API; its state is its own."""
    museum = Museum()
    places: list[tuple[str, Answer, list[str]]] = [
        ("/museum-hours", museum.hours, ["GET"]),
        ("/special-events", museum.special_events, ["GET", "POST"]),
        ("/special-events/{event_id}", museum.event, ["GET", "PATCH", "DELETE"]),
        ("/tickets", museum.buy, ["POST"]),
        ("/tickets/{ticket_id}/qr", museum.code, ["GET"]),
    ]
    return Starlette(routes=[Route(path, behind_the_desk(answer), methods=how) for path, answer, how in places])


def problem(status: int, detail: str) -> Response:
    """Return a failure as RFC 9457 has it."""
    return JSONResponse({"title": "Sorry", "detail": detail}, status, media_type="application/problem+json")


if __name__ == "__main__":
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
