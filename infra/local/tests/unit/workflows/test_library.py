"""The library as a whole: complete, and robust against any argument."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.functions.signatures import Parameter, PureFunction
from localcloud.workflows.library import standard_library
from localcloud.workflows.values import type_name

# name: (parameters in positional order, those with a default in brackets), as the reference lists them.
DOCUMENTED = {
    "base64.decode": "data [padding]",
    "base64.encode": "data [padding]",
    "default": "value default_value",
    "double": "x",
    "events.await_callback": "callback [timeout]",
    "events.create_callback_endpoint": "[http_callback_method]",
    "experimental.executions.map": "workflow_id arguments [timeout] [location] [project_id]",
    "experimental.executions.run": "workflow_id [location] [project_id] [argument]",
    "get_type": "value",
    "hash.compute_checksum": "data algorithm",
    "hash.compute_hmac": "key data algorithm",
    "http.default_retry_predicate": "exception",
    "http.default_retry_predicate_non_idempotent": "exception",
    "http.delete": "url [timeout] [body] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "http.get": "url [timeout] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "http.patch": "url [timeout] [body] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "http.post": "url [timeout] [body] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "http.put": "url [timeout] [body] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "http.request": "method url [timeout] [body] [headers] [query] [auth] [private_service_name] [ca_certificate]",
    "if": "condition if_true if_false",
    "int": "x",
    "json.decode": "data",
    "json.encode": "data [indent]",
    "json.encode_to_string": "data [indent]",
    "keys": "map",
    "len": "value",
    "list.concat": "objs val",
    "list.prepend": "objs val",
    "map.delete": "map key",
    "map.get": "map keys",
    "map.merge": "first second",
    "map.merge_nested": "first second",
    "math.abs": "x",
    "math.floor": "x",
    "math.max": "x y",
    "math.min": "x y",
    "retry.always": "exception",
    "retry.never": "exception",
    "string": "x",
    "sys.get_env": "name [default]",
    "sys.log": "[data] [severity] [text] [json] [timeout]",
    "sys.now": "",
    "sys.sleep": "seconds",
    "sys.sleep_until": "time",
    "text.decode": "data [charset]",
    "text.encode": "text [charset]",
    "text.find_all": "source substr",
    "text.find_all_regex": "source regexp",
    "text.match_regex": "source regexp",
    "text.replace_all": "source substr repl",
    "text.replace_all_regex": "source regexp repl",
    "text.split": "source separator",
    "text.substring": "source start end",
    "text.to_lower": "source",
    "text.to_upper": "source",
    "text.url_decode": "source",
    "text.url_encode": "source",
    "text.url_encode_plus": "source",
    "time.format": "seconds [timezone]",
    "time.parse": "value",
    "uuid.generate": "",
}
PURE = [function for function in standard_library().functions.values() if isinstance(function, PureFunction)]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=9)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def written(parameter: Parameter) -> str:
    """Return the parameter as the table above writes it."""
    return parameter.name if parameter.is_required else f"[{parameter.name}]"


def test_the_library_is_the_documented_one() -> None:
    """Every function of the reference, with its arguments in order, and no other."""
    library = standard_library().functions.values()

    assert {each.name: " ".join(map(written, each.parameters)) for each in library} == DOCUMENTED


@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("function", PURE, ids=lambda function: function.name)
def test_a_pure_function_gives_a_value_or_raises_a_workflow_error(function: PureFunction, data: st.DataObject) -> None:
    """No arguments whatever make a function fail in a way that a workflow cannot see."""
    arguments = [data.draw(VALUES) for _ in function.parameters]

    with contextlib.suppress(WorkflowError):
        assert type_name(function.body(*arguments))


def test_every_policy_names_a_predicate_of_the_library() -> None:
    """Policies are data; what they name exists."""
    library = standard_library()

    assert {policy.predicate for policy in library.policies.values()} <= library.functions.keys()
