"""HTTPS with a server that its own authority vouches for, and which is out of date all the same."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import chassis.egress.client
import chassis.egress.connections
from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from support.scripted_origin import ScriptedOrigin, answer

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # the old ones are meant

NAME = "images.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(folder: Path, *, until: datetime.datetime) -> Path:
    """Write a certificate that vouches for itself, with its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - 30 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


def asked(file: Path, newest: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch) -> tuple[object, int]:
    """Fetch from a server with this certificate, trusted; return body or fault, and how many requests it heard."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # the old protocols need it
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    context.load_cert_chain(file)
    trusting = chassis.egress.connections.trusting_context.__wrapped__()  # as in production, but its own
    trusting.load_verify_locations(file)
    monkeypatch.setattr(chassis.egress.client, "trusting_context", lambda: trusting)

    def to_loopback(_host: str, port: int, *_rest: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.1/32",)), total_timeout_s=5)
    egress = Egress(policy, user_agent="test", clock=SystemClock(), resolve=to_loopback)
    with ScriptedOrigin(tls=context) as origin:
        origin.on("/", answer(b"picture"))
        try:
            found: object = egress.request("GET", f"https://{NAME}:{origin.port}/").body
        except EgressError as error:
            found = error.fault
        return found, len(origin.received)


@pytest.mark.fault("D13")
@pytest.mark.parametrize(("until", "expected"), [(NOW + DAY, (b"picture", 1)), (NOW - DAY, (EgressFault.TLS_ERROR, 0))])
def test_a_certificate_is_good_until_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: datetime.datetime, expected: tuple[object, int]
) -> None:
    """A day before its end and a day behind it; of the expired one nothing is asked."""
    file = certificate(tmp_path, until=until)

    assert asked(file, ssl.TLSVersion.TLSv1_3, monkeypatch) == expected


@pytest.mark.fault("D13")
@pytest.mark.parametrize(
    ("newest", "expected"),
    [(ssl.TLSVersion.TLSv1_2, (b"picture", 1)), (ssl.TLSVersion.TLSv1_1, (EgressFault.TLS_ERROR, 0))],
)
def test_a_server_that_speaks_nothing_newer_than_tls_1_1_is_not_talked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: ssl.TLSVersion, expected: tuple[object, int]
) -> None:
    """TLS 1.2 is the oldest that is spoken, although the certificate is good."""
    file = certificate(tmp_path, until=NOW + DAY)

    assert asked(file, newest, monkeypatch) == expected
