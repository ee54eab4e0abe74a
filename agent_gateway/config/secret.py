"""Secrets: named in the configuration, never written in it.

`Secret` holds where a secret is; its value lives only in `Loaded`, in memory.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from agent_gateway.config.section import refuse

MAX_SECRET_BYTES: Final = 64 * 1024

_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})|file:([^\x00\s][^\x00]{0,1023})")
_HINT: Final = "write `env:NAME` for an environment variable or `file:path` for a file"


class SecretUnavailable(Exception):
    """The secret is not where the reference says; the message is for people and holds no value."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret: `env:NAME`, or `file:path` relative to the configuration file."""

    source: Literal["env", "file"]
    name: str

    @property
    def reference(self) -> str:
        return f"{self.source}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """Read a reference; anything else is refused without being repeated: it may be the secret itself."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise refuse("a secret is not written here, only where to find it", _HINT)
        if match[1]:
            return cls("env", match[1])
        return cls("file", match[2])

    def path(self, base: Path) -> Path | None:
        """Return the file that holds the secret, or None when it is not in a file."""
        return base / self.name if self.source == "file" else None

    def read(self, base: Path, environ: Mapping[str, str]) -> str:
        """Return the secret without the line end that editors add; raise `SecretUnavailable`."""
        value = self._from_file(base / self.name) if self.source == "file" else environ.get(self.name)
        if value is None:
            raise SecretUnavailable(f"the environment variable `{self.name}` is not set")
        if not value:
            raise SecretUnavailable(f"`{self.reference}` is empty")
        return value

    def _from_file(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretUnavailable(f"`{self.reference}` cannot be read: {os.strerror(error.errno or 0)}") from None
        if len(content) > MAX_SECRET_BYTES:
            raise SecretUnavailable(f"`{self.reference}` is larger than {MAX_SECRET_BYTES} bytes")
        try:
            return content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise SecretUnavailable(f"`{self.reference}` is not UTF-8 text") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.parse,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda secret: secret.reference),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:\\S.*)$",
            "description": "Where a secret is: `env:NAME` or `file:path`. Never the secret itself.",
        }


def _text_or_secret(text: str) -> "str | Secret":
    return Secret.parse(text) if text.startswith(("env:", "file:")) else text


class _TextOrSecret:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _text_or_secret,
            core_schema.str_schema(max_length=32_768),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.reference if isinstance(value, Secret) else value
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": "Plain text, or a secret by reference: `env:NAME` or `file:path`."}


TextOrSecret = Annotated[str | Secret, _TextOrSecret, Field()]
"""Text, unless it starts with `env:` or `file:`."""
