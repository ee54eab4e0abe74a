"""Tool search: words by default, vectors beside them where an operator has a server for embeddings."""

from typing import Annotated

from pydantic import Field

from agent_gateway.config.secret import Secret
from agent_gateway.config.section import HttpUrl, Label, Seconds, Section


class Embeddings(Section):
    """A server with the OpenAI form of `/v1/embeddings`. It reads the texts of all tools, and every search."""

    url: HttpUrl
    """The whole URL, such as `http://127.0.0.1:8080/v1/embeddings`."""
    model: Label
    """Name of the model."""
    key: Secret | None = None
    """Bearer token, by reference."""
    allow_private: bool = False
    """Let the URL lead to loopback and private addresses."""
    timeout_s: Seconds = 3.0
    """Seconds that one search waits for its vector; then words alone answer."""
    batch: Annotated[int, Field(ge=1, le=2048)] = 64
    """Texts in one request."""


class Search(Section):
    """How `search_tools` finds."""

    embeddings: Embeddings | None = None
    """Where vectors come from. Default: there are none, and words find."""
