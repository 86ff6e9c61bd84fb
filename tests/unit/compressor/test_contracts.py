"""Options, outcomes and settings are those of the contracts, and what makes no sense stops the start."""

from __future__ import annotations

import json

import pytest

from chassis.egress.client import EgressFault
from chassis.settings import SettingsError
from compressor.http.routes import MAX_INTERVAL_S, MAX_MORE_IMAGES, CompressOptions, CompressRequest, TaskImage
from compressor.images.model import Animated, Metadata, Options, OutcomeCode, OutputFormat
from support.compressor_service import CONTRACTS, make_settings


def test_every_fault_of_the_egress_is_an_outcome() -> None:
    """The guard's faults are public codes under the same names."""
    assert {fault.value for fault in EgressFault} <= {code.value for code in OutcomeCode}


def test_the_route_takes_the_contracts_fields_and_limits() -> None:
    """Model and schema name the same fields, formats and bounds."""
    schema = json.loads((CONTRACTS / "compress_request.schema.json").read_text())
    options = schema["properties"]["options"]["properties"]

    assert set(CompressRequest.model_fields) == set(schema["properties"])
    assert set(TaskImage.model_fields) == set(schema["properties"]["more"]["items"]["properties"])
    assert schema["properties"]["more"]["maxItems"] == MAX_MORE_IMAGES
    assert schema["properties"]["interval_s"]["maximum"] == MAX_INTERVAL_S
    assert set(CompressOptions.model_fields) == set(options)
    assert [output.value for output in OutputFormat] == options["format"]["enum"]
    assert [policy.value for policy in Metadata] == options["metadata"]["enum"]
    assert [policy.value for policy in Animated] == options["animated"]["enum"]
    bounds = CompressOptions.model_json_schema()["properties"]["target_bytes"]["anyOf"][0]
    assert [bounds[key] for key in ("minimum", "maximum")] == [
        options["target_bytes"][key] for key in ("minimum", "maximum")
    ]


def test_equal_options_have_one_canonical_form() -> None:
    """It is part of every object's name, so it is pinned."""
    assert Options().canonical() == "q=50;f=jpeg;w=0;h=0;t=0;m=copyright;b=#ffffff;a=first"
    every = Options(80, OutputFormat.WEBP, 100, 200, 3000, Metadata.STRIP, "#102030", Animated.KEEP)
    assert every.canonical() == "q=80;f=webp;w=100;h=200;t=3000;m=strip;b=#102030;a=keep"
    assert len(Options.__dataclass_fields__) == every.canonical().count("=")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EGRESS_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("EGRESS_ALLOWED_PORTS", "80,http"),
        ("EGRESS_ALLOWED_PORTS", "0"),
        ("CODEC_CONCURRENCY", "0"),
        ("FETCH_TOTAL_TIMEOUT_S", "61"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start(variable: str, value: str) -> None:
    """Not the first request."""
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        make_settings(**{variable: value})
