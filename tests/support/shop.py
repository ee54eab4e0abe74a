"""A shop's API as a team would write it with FastAPI: its own description, real behaviour, real validation."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, File, Header, HTTPException, Query, UploadFile
from pydantic import BaseModel

Key = Annotated[str | None, Header(alias="X-Shop-Key")]
STOCK = [{"sku": f"s{number}", "name": f"Thing {number}", "price": number} for number in range(40)]


class Order(BaseModel):
    """What a customer wants."""

    sku: str
    count: int = 1
    note: str | None = None


@dataclass
class Shop:
    """The shop's state, for tests to look at."""

    key: str = "shop-key"
    orders: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    asked: list[str] = field(default_factory=list[str])


def shop_app(shop: Shop, **more: Any) -> FastAPI:
    """Return the API; every request needs the key."""
    app = FastAPI(title="Shop", version="1.0.0", **more)

    def known(key: str | None) -> None:
        if key != shop.key:
            raise HTTPException(401, "who are you?")

    @app.get("/items", tags=["catalogue"], summary="Search the items of the shop")
    def search_items(
        q: str = "", tags: Annotated[list[str] | None, Query()] = None, limit: int = 10, x_shop_key: Key = None
    ) -> dict[str, Any]:
        known(x_shop_key)
        shop.asked.append(f"search {q} {tags}")
        return {"items": [item for item in STOCK if q.lower() in str(item["name"]).lower()][:limit]}

    @app.get("/orders/{order_id}", tags=["orders"])
    def get_order(order_id: int, x_shop_key: Key = None) -> dict[str, Any]:
        known(x_shop_key)
        shop.asked.append(f"get {order_id}")
        if order_id not in shop.orders:
            raise HTTPException(404, f"there is no order {order_id}")
        return shop.orders[order_id]

    @app.post("/orders", status_code=201, tags=["orders"])
    def create_order(order: Order, x_shop_key: Key = None) -> dict[str, Any]:
        known(x_shop_key)
        number = len(shop.orders) + 1
        shop.orders[number] = {"id": number, **order.model_dump()}
        shop.asked.append(f"create {order.sku}")
        return shop.orders[number]

    @app.delete("/orders/{order_id}", status_code=204, tags=["orders"])
    def delete_order(order_id: int, x_shop_key: Key = None) -> None:
        known(x_shop_key)
        shop.asked.append(f"delete {order_id}")
        shop.orders.pop(order_id, None)

    @app.post("/orders/{order_id}/receipt", tags=["orders"])
    async def add_receipt(order_id: int, file: Annotated[UploadFile, File()], x_shop_key: Key = None) -> dict[str, Any]:
        known(x_shop_key)
        held = await file.read()
        return {"order": order_id, "name": file.filename, "bytes": len(held), "sum": sum(held)}

    return app
