"""Cloud Storage v1 (JSON API). Source: https://cloud.google.com/storage/docs/json_api/v1.

Object names must be URL-encoded by the author, as in production: an unencoded slash is answered 404. Content is sent as
a multipart upload, which no workflow can tell from the media upload it asks for: fake-gcs-server 1.54 checks
preconditions such as `ifGenerationMatch` on multipart uploads only.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from localcloud.workflows.connectors.calls import ApiCall, connector_params
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS, ApiMethod, ApiRequest, BodyKind, request_for
from localcloud.workflows.connectors.waiting import connector, perform
from localcloud.workflows.errors import http_error, type_error, value_error
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_NAME = "googleapis.storage.v1"
_ROOT = "https://storage.googleapis.com"
_V1 = f"{_ROOT}/storage/v1"
_OBJECT = f"{_V1}/b/{{bucket}}/o/{{object}}"

_IF_GENERATION = (
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
)
_COMMON = ("projection", "userProject")

METHODS = (
    ApiMethod(f"{_NAME}.buckets.delete", "DELETE", f"{_V1}/b/{{bucket}}", query=_COMMON),
    ApiMethod(f"{_NAME}.buckets.get", "GET", f"{_V1}/b/{{bucket}}", query=_COMMON),
    ApiMethod(f"{_NAME}.buckets.insert", "POST", f"{_V1}/b", query=("project", *_COMMON), body=BodyKind.JSON),
    ApiMethod(
        f"{_NAME}.buckets.list", "GET", f"{_V1}/b", query=("project", "prefix", "maxResults", "pageToken", *_COMMON)
    ),
)

_INSERT = ApiMethod(
    f"{_NAME}.objects.insert",
    "POST",
    f"{_ROOT}/upload/storage/v1/b/{{bucket}}/o",
    query=("uploadType", "name", "contentEncoding", "predefinedAcl", *_IF_GENERATION, *_COMMON),
    body=BodyKind.MEDIA,
)

OBJECT_METHODS = (
    ApiMethod(
        f"{_NAME}.objects.compose",
        "POST",
        f"{_V1}/b/{{destinationBucket}}/o/{{destinationObject}}/compose",
        query=("ifGenerationMatch", "ifMetagenerationMatch", "userProject"),
        body=BodyKind.JSON,
    ),
    ApiMethod(
        f"{_NAME}.objects.copy",
        "POST",
        f"{_V1}/b/{{sourceBucket}}/o/{{sourceObject}}/copyTo/b/{{destinationBucket}}/o/{{destinationObject}}",
        query=(*_IF_GENERATION, *_COMMON),
        body=BodyKind.JSON,
    ),
    ApiMethod(f"{_NAME}.objects.delete", "DELETE", _OBJECT, query=("generation", *_IF_GENERATION, "userProject")),
    ApiMethod(f"{_NAME}.objects.get", "GET", _OBJECT, query=("alt", "generation", *_IF_GENERATION, *_COMMON)),
    ApiMethod(
        f"{_NAME}.objects.list",
        "GET",
        f"{_V1}/b/{{bucket}}/o",
        query=(
            "prefix",
            "delimiter",
            "maxResults",
            "pageToken",
            "startOffset",
            "endOffset",
            "versions",
            "includeTrailingDelimiter",
            *_COMMON,
        ),
    ),
    ApiMethod(
        f"{_NAME}.objects.patch",
        "PATCH",
        _OBJECT,
        query=("generation", *_IF_GENERATION, *_COMMON),
        body=BodyKind.JSON,
    ),
)


def storage_methods() -> dict[str, ConnectorMethod]:
    """Return the connectors of this module by full name."""
    return {
        **{method.name: connector(method) for method in METHODS},
        **{method.name: _object_connector(method) for method in OBJECT_METHODS},
        _INSERT.name: _insert,
    }


async def _insert(host: Host, arguments: Mapping[str, Value]) -> Value:
    """Store `body` as object `name` of `bucket`; `uploadType` must be `media`."""
    if arguments.get("uploadType") != "media":
        raise value_error(f"{_INSERT.name}: localcloud supports uploadType 'media' only")
    if not isinstance(arguments.get("name"), str):
        raise type_error(f"{_INSERT.name}: missing argument 'name'")
    call = ApiCall(host, connector_params(arguments.get(CONNECTOR_PARAMS)))
    return await call.send(_as_multipart(request_for(_INSERT, arguments)))


def _as_multipart(request: ApiRequest) -> ApiRequest:
    """Return the same upload in the form of RFC 2387, with empty metadata: the name stays in the query."""
    boundary = uuid.uuid4().hex
    content_type = request.headers.get("Content-Type", "application/octet-stream")
    head = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
        f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
    )
    body = head.encode() + (request.body or b"") + f"\r\n--{boundary}--\r\n".encode()
    url = request.url.replace("uploadType=media", "uploadType=multipart")
    return ApiRequest(request.verb, url, {"Content-Type": f"multipart/related; boundary={boundary}"}, body)


def _object_connector(method: ApiMethod) -> ConnectorMethod:
    segments = [name for name in method.variables if name.lower().endswith(("object", "bucket"))]

    async def call(host: Host, arguments: Mapping[str, Value]) -> Value:
        for name in segments:
            if isinstance(arguments.get(name), str) and "/" in arguments[name]:
                raise http_error(404, {}, f"Not Found: encode the slashes of {name} with text.url_encode")
        params = connector_params(arguments.get(CONNECTOR_PARAMS))
        return await perform(ApiCall(host, params), method, arguments)

    return call
