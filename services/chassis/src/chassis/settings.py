"""Settings: one frozen pydantic model per service, filled once from a mapping of environment variables.

Each field is a row of a table: environment variable (its alias), type, default or *required*, and help (its
description). docs/settings.md is written from these rows. Only `wsgi.py` and command lines hand in `os.environ`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticUndefined

from chassis.auth.api_keys import ApiKey, parse_api_keys
from chassis.egress.address_policy import parse_networks
from chassis.limited import Limited, NoLimit

BODY_TIMEOUT_S = 300.0
"""Default of the setting `BODY_TIMEOUT_S`: no body is waited for longer, seconds."""


GOOGLE_TELEMETRY = "https://telemetry.googleapis.com/"
"""The API that takes spans for Cloud Trace: the only one that is sent an access token with them."""


class SettingsError(Exception):
    """Some variables are missing or malformed; the message lists all of them, values redacted."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
"""A setting written as `a,b,c`; empty means none."""


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    parse_networks(value)
    return value


NetworkList = Annotated[CommaList, AfterValidator(_networks)]
"""Networks that guarded calls may reach although they are not public: `10.0.0.0/8,::1/128`."""

PortList = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(_split_commas)]
"""Ports that guarded calls may use on public addresses: `80,443`."""


class Settings(BaseModel):
    """Base of every service's settings: those that all of them share."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    project: str = Field(alias="GOOGLE_CLOUD_PROJECT", description="Google Cloud project id")
    location: str = Field(alias="GOOGLE_CLOUD_LOCATION", description="Region of the queues and the workflow")
    cloud_run_service: str = Field("", alias="K_SERVICE", description="Set by Cloud Run; empty elsewhere")
    revision: str = Field("", alias="K_REVISION", description="Set by Cloud Run; shown in logs")
    log_level: str = Field("INFO", alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR")
    auth_mode: str = Field(
        "verify",
        alias="AUTH_MODE",
        pattern="^(verify|platform)$",
        description="verify: check every OIDC token's signature here; platform: Cloud Run IAM has checked it already",
    )
    auth_certs_url: str = Field(
        "https://www.googleapis.com/oauth2/v1/certs",
        alias="AUTH_CERTS_URL",
        description="Where the issuer's certificates are; not to be changed on Cloud Run",
    )
    cloud_tasks_emulator_host: str = Field(
        "", alias="CLOUD_TASKS_EMULATOR_HOST", description="host:port of a Cloud Tasks emulator; empty: Google's"
    )
    workflows_emulator_host: str = Field(
        "", alias="WORKFLOWS_EMULATOR_HOST", description="host:port (gRPC) of a Workflows emulator; empty: Google's"
    )
    storage_emulator_host: str = Field(
        "", alias="STORAGE_EMULATOR_HOST", description="URL of a Cloud Storage emulator; empty: Google's"
    )

    trace_sample_ratio: Annotated[float, NoLimit()] = Field(
        0.0,
        alias="TRACE_SAMPLE_RATIO",
        ge=0,
        le=1,
        description="Part of all batches whose trace is recorded, 0 to 1, the same in all services; 0 records none",
    )
    trace_endpoint: str = Field(
        f"{GOOGLE_TELEMETRY}v1/traces",
        alias="TRACE_ENDPOINT",
        description="Where spans are sent, as OTLP over HTTP; not to be changed on Cloud Run",
    )
    body_timeout_s: Annotated[float, Limited("seconds", "408 `BODY_TIMEOUT`, the connection is closed")] = Field(
        BODY_TIMEOUT_S,
        alias="BODY_TIMEOUT_S",
        gt=0,
        le=3600,
        description="Seconds a request's body may take to arrive; slow ones are cut off sooner, see docs/limits.md",
    )
    failpoints: CommaList = Field(
        (),
        alias="FAILPOINTS",
        description="For tests: points where the process dies, `name:kill` or `name:raise`; refused on Cloud Run",
    )
    failpoints_dir: str = Field("", alias="FAILPOINTS_DIR", description="For tests: folder that arms each point once")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Build the settings from environment variables.

        Raises:
            SettingsError: naming every missing or malformed variable at once.
        """
        # An empty variable counts as not set: Cloud Run and shells cannot tell the two apart reliably.
        names = [field.alias for field in cls.model_fields.values() if field.alias]
        given = {name: environ[name] for name in names if environ.get(name)}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            # A validator of the whole model has no place of its own.
            raise SettingsError(
                [f"{fault['loc'][0] if fault['loc'] else 'settings'}: {fault['msg']}" for fault in error.errors()]
            ) from error
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse combinations that would be unsafe.

        Raises:
            SettingsError: what `faults_on_cloud_run` names, or unchecked tokens elsewhere.
        """
        faults = self.faults_on_cloud_run() if self.cloud_run_service else []
        if self.auth_mode == "platform" and not self.cloud_run_service:
            faults.append("AUTH_MODE: platform is only safe behind Cloud Run IAM (K_SERVICE is not set)")
        if faults:
            raise SettingsError(faults)

    def faults_on_cloud_run(self) -> list[str]:
        """Name what would be unsafe on Cloud Run."""
        faults = []
        if not self.auth_certs_url.startswith("https://www.googleapis.com/"):
            faults.append("AUTH_CERTS_URL: on Cloud Run only Google's certificates are accepted")
        if not self.trace_endpoint.startswith(GOOGLE_TELEMETRY):
            faults.append("TRACE_ENDPOINT: on Cloud Run spans are sent to Google only")
        if self.failpoints:
            faults.append("FAILPOINTS: on Cloud Run the service dies at no failpoint")
        return faults


class Door(StrEnum):
    """Which routes a process serves: those of clients, or those of our own parts, which Cloud Run IAM guards."""

    PUBLIC = "public"
    INTERNAL = "internal"
    BOTH = "both"


class PublicSettings(Settings):
    """Settings of a service with public routes beside internal ones: it runs twice, each door with its own."""

    door: Door = Field(
        Door.BOTH,
        alias="DOOR",
        description="Whose routes are served: public (clients'), internal (our own parts') or both; on Cloud Run one",
    )
    api_keys: SecretStr = Field(
        SecretStr(""),
        alias="API_KEYS",
        description="API keys of public routes, as `python -m chassis.auth.api_keys` makes them; empty or off: none",
    )
    public_without_keys: bool = Field(
        False,
        alias="PUBLIC_WITHOUT_KEYS",
        description="true: public routes may be open to everybody on Cloud Run too; otherwise API_KEYS must have a key",
    )

    max_requests_per_minute: Annotated[int, Limited("requests a minute", "429 `TOO_MANY_REQUESTS`")] = Field(
        6000,
        alias="MAX_REQUESTS_PER_MINUTE",
        ge=1,
        description="Requests a caller (an API key, else an address) may make of a public door's instance in a minute",
    )
    trusted_proxies: Annotated[int, NoLimit()] = Field(
        0,
        alias="TRUSTED_PROXIES",
        ge=0,
        le=5,
        description="Proxies that add to X-Forwarded-For: so far from its end is the caller's address; 0: the peer's",
    )

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, value: SecretStr) -> SecretStr:
        parse_api_keys(value.get_secret_value())
        return value

    def faults_on_cloud_run(self) -> list[str]:
        """Name what would be unsafe on Cloud Run: also doors that are open because nobody made a key."""
        faults = super().faults_on_cloud_run()
        if self.door is Door.BOTH:
            faults.append("DOOR: on Cloud Run a service is one door, public or internal")
        if self.door is not Door.PUBLIC and self.auth_mode != "platform":
            faults.append("AUTH_MODE: behind Cloud Run IAM tokens have lost their signatures; it must be platform")
        if self.door is Door.PUBLIC and self.auth_mode == "platform":
            faults.append("AUTH_MODE: nobody checks tokens in front of the public door; it must be verify")
        if self.door is not Door.INTERNAL and not self.keys_of_callers and not self.public_without_keys:
            faults.append("API_KEYS: on Cloud Run public routes need keys, unless PUBLIC_WITHOUT_KEYS is true")
        return faults

    @property
    def serves_clients(self) -> bool:
        """Return whether the public routes are served."""
        return self.door is not Door.INTERNAL

    @property
    def serves_our_parts(self) -> bool:
        """Return whether the internal routes are served."""
        return self.door is not Door.PUBLIC

    @property
    def keys_of_callers(self) -> tuple[ApiKey, ...]:
        """Return the API keys; none opens the public routes."""
        return parse_api_keys(self.api_keys.get_secret_value())


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of a settings table."""

    variable: str
    default: str
    help: str


def settings_rows(settings_class: type[Settings]) -> list[SettingRow]:
    """Return the table of a settings class, in field order; `default` is "required" where there is none."""
    rows = []
    for field in settings_class.model_fields.values():
        if field.default is PydanticUndefined:
            default = "required"
        elif isinstance(field.default, SecretStr):
            default = ""
        elif isinstance(field.default, tuple):
            default = ",".join(str(item) for item in field.default)
        else:
            default = str(field.default)
        rows.append(SettingRow(field.alias or "", default, field.description or ""))
    return rows


def exit_with_faults(service: str, error: SettingsError) -> NoReturn:
    """Print every fault on stderr and end the process with status 2, before any traffic is served."""
    for fault in error.faults:
        sys.stderr.write(f"{service}: bad setting {fault}\n")
    raise SystemExit(2)
