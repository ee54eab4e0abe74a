"""Bodies: what an operation takes and gives, of every version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from context_mesh.openapi.files import BrokenReference, Files, Place, escape, shown
from context_mesh.openapi.media import FORM, JSON, MULTIPART, MediaReader, is_form, is_json, rank
from context_mesh.openapi.members import flag, mapping, text, texts
from context_mesh.openapi.model import Body, MediaType, Response, Schema, SecurityScheme
from context_mesh.openapi.parameters import Written
from context_mesh.openapi.report import Report
from context_mesh.openapi.security import is_credential


@dataclass(frozen=True, slots=True)
class Kinds:
    """2.0: the media types of requests and answers, where the operation or the document says so."""

    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()


class BodyReader:
    """Reads request bodies and responses."""

    def __init__(self, files: Files, schemes: Mapping[str, SecurityScheme], report: Report) -> None:
        self._files = files
        self._schemes = schemes
        self._report = report
        self._media = MediaReader(files, report)

    def request(self, operation: Place, parameters: Written, kinds: Kinds) -> Body | None:
        """Return an operation's body: `requestBody`, or what 2.0 has among its parameters."""
        written = mapping(operation.value).get("requestBody")
        body: Body | None = None
        if written is not None:
            body = self._request_body(written, (operation.file, f"{operation.pointer}/requestBody"))
        elif parameters.body is not None:
            if parameters.form:
                where = (parameters.body.file, parameters.body.pointer)
                self._report.add("warning", "two-bodies", where, "there is a form beside the body; the body is sent")
            body = self._body_parameter(parameters.body, kinds)
        elif parameters.form:
            body = self._form_parameters(parameters.form, kinds)
        return self._without_credentials(body) if body else None

    def _request_body(self, written: object, where: tuple[str, str]) -> Body | None:
        try:
            place = self._files.follow(written, *where)
        except BrokenReference as error:
            self._report.broken(error, where)
            return None
        members = mapping(place.value)
        where = (place.file, f"{place.pointer}/content")
        forms = self._media.content(mapping(members.get("content")), where, has_fields=True)
        if not forms:
            self._report.add("warning", "empty-body", where, "the body has no media type and is not sent")
            return None
        return Body(
            media=forms[0],
            required=flag(members.get("required")),
            other=tuple(form.full for form in forms[1:]),
            description=text(members.get("description")),
            pointer=str(place),
        )

    def _body_parameter(self, place: Place, kinds: Kinds) -> Body:
        members = mapping(place.value)
        names = sorted(kinds.consumes or (JSON,), key=lambda name: rank(name.partition(";")[0].strip().lower()))
        names = [name for name in names if not is_form(name.partition(";")[0].strip().lower())] or [JSON]
        schema = Schema(members.get("schema", True), place.file, f"{place.pointer}/schema")
        return Body(
            media=self._media.form(names[0], schema, encodings={}),
            required=flag(members.get("required")),
            other=tuple(names[1:]),
            description=text(members.get("description")),
            pointer=str(place),
        )

    def _form_parameters(self, places: Sequence[Place], kinds: Kinds) -> Body:
        """Return 2.0's form fields as one object, with what their `collectionFormat` means."""
        properties: dict[str, object] = {}
        encodings: dict[str, object] = {}
        required: list[str] = []
        for place in places:
            members = mapping(place.value)
            name = text(members.get("name"))
            properties[name] = {key: value for key, value in members.items() if key not in ("name", "in", "required")}
            default = "csv" if members.get("type") == "array" else ""
            encodings[name] = _encoding(text(members.get("collectionFormat")) or default)
            required += [name] if flag(members.get("required")) else []
        has_file = any(mapping(schema).get("type") == "file" for schema in properties.values())
        full = MULTIPART if has_file or (MULTIPART in kinds.consumes and FORM not in kinds.consumes) else FORM
        value = {"type": "object", "properties": properties, "required": required}
        schema = Schema(value, places[0].file, places[0].pointer)
        return Body(self._media.form(full, schema, encodings=encodings), bool(required), pointer=str(places[0]))

    def _without_credentials(self, body: Body) -> Body:
        fields = tuple(
            replace(field, is_hidden=True)
            if is_credential(field.name, "body", text(mapping(field.schema.value).get("description")), self._schemes)
            else field
            for field in body.media.fields
        )
        return replace(body, media=replace(body.media, fields=fields))

    def responses(self, operation: Place, kinds: Kinds) -> tuple[Response, ...]:
        """Return the declared answers, in the order of their writing."""
        found: list[Response] = []
        for status, written in mapping(mapping(operation.value).get("responses")).items():
            where = (operation.file, f"{operation.pointer}/responses/{escape(status)}")
            if status.startswith("x-"):
                continue
            known = status.upper() if status.lower() != "default" else "default"
            if known != "default" and (len(known) != 3 or known[0] not in "12345"):
                self._report.add("warning", "bad-status", where, f"`{shown(status)}` is no status")
                continue
            try:
                place = self._files.follow(written, *where)
            except BrokenReference as error:
                self._report.broken(error, where)
                continue
            found.append(self._response(known, place, kinds))
        return tuple(found)

    def _response(self, status: str, place: Place, kinds: Kinds) -> Response:
        members = mapping(place.value)
        media: tuple[MediaType, ...]
        if "schema" in members:  # 2.0
            schema = Schema(members["schema"], place.file, f"{place.pointer}/schema")
            names = kinds.produces or (JSON,)
            media = tuple(self._media.form(name, schema, encodings=None) for name in names)
            media = tuple(sorted(media, key=lambda form: rank(form.name)))
        else:
            where = (place.file, f"{place.pointer}/content")
            media = self._media.content(mapping(members.get("content")), where, has_fields=False)
        return Response(status, text(members.get("description")), media, headers=tuple(mapping(members.get("headers"))))


def json_schema(responses: Sequence[Response]) -> Schema | None:
    """Return the schema of the first JSON answer to a call that succeeded; `default` when no success is declared."""
    good = [response for response in responses if response.status.startswith("2")]
    for response in good or [response for response in responses if response.status == "default"]:
        for form in response.media:
            if is_json(form.name) and not form.is_stream:
                return form.schema
    return None


def read_kinds(operation: Mapping[str, object], root: Mapping[str, object]) -> Kinds:
    """Return 2.0's `consumes` and `produces`: the operation's, or else the document's."""

    def nearest(name: str) -> tuple[str, ...]:
        return texts(operation[name] if name in operation else root.get(name))

    return Kinds(nearest("consumes"), nearest("produces"))


def _encoding(collection: str) -> dict[str, object]:
    if collection == "multi":
        return {"style": "form", "explode": True}
    styles = {"csv": "form", "ssv": "spaceDelimited", "tsv": "tabDelimited", "pipes": "pipeDelimited"}
    return {"style": styles[collection], "explode": False} if collection in styles else {}
