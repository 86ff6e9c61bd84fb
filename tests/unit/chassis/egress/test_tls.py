"""HTTPS to strangers: the certificate is checked against the name although the address is pinned."""

from __future__ import annotations

import datetime
import socket
import ssl
import time
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


def self_signed(folder: Path, name: str) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def to_loopback(_host: str, port: int, *_rest: object) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def egress() -> Egress:
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.1/32",)), total_timeout_s=5)
    return Egress(policy, user_agent="test", clock=SystemClock(), resolve=to_loopback)


@pytest.mark.fault("D13")
def test_a_self_signed_certificate_is_refused_and_the_name_was_sent(egress: Egress, tmp_path: Path) -> None:
    """TLS_ERROR, permanent; the server was greeted with the name of the URL (SNI), not with the pinned address."""
    greeted: list[str | None] = []
    context = self_signed(tmp_path, "images.example")
    context.sni_callback = lambda _socket, name, _context: greeted.append(name)
    with ScriptedOrigin(tls=context) as origin:
        origin.on("/", answer(b"secret"))
        with pytest.raises(EgressError) as caught:
            egress.request("GET", f"https://images.example:{origin.port}/")

    assert (caught.value.fault, caught.value.transient) == (EgressFault.TLS_ERROR, False)
    assert greeted == ["images.example"]
    assert origin.received == []


@pytest.mark.fault("D13")
def test_a_certificate_for_another_name_is_refused_although_its_issuer_is_trusted(
    egress: Egress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust decides first, then the name: right name 200, wrong name TLS_ERROR."""
    context = self_signed(tmp_path, "images.example")
    trusting = ssl.create_default_context(cafile=tmp_path / "server.pem")
    monkeypatch.setattr(chassis.egress.client, "trusting_context", lambda: trusting)
    with ScriptedOrigin(tls=context) as origin:
        origin.on("/", answer(b"picture"))
        right = egress.request("GET", f"https://images.example:{origin.port}/")
        with pytest.raises(EgressError) as caught:
            egress.request("GET", f"https://other.example:{origin.port}/")

    assert right.body == b"picture"
    assert caught.value.fault is EgressFault.TLS_ERROR


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up_after_the_time_to_read() -> None:
    """The greeting of TLS is read like an answer; nobody waits for the end of the whole call."""
    policy = EgressPolicy(
        allowed_networks=parse_networks(("127.0.0.1/32",)), read_timeout_s=0.2, connect_timeout_s=20, total_timeout_s=20
    )
    egress = Egress(policy, user_agent="test", clock=SystemClock(), resolve=to_loopback)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(EgressError) as caught:
            egress.request("GET", f"https://images.example:{silent.getsockname()[1]}/")

    assert caught.value.fault is EgressFault.TIMEOUT
    assert time.monotonic() - begun < 15


def test_the_certificate_authorities_are_loaded_once() -> None:
    """One context a process, which checks certificates and names and speaks nothing older than TLS 1.2."""
    context = chassis.egress.connections.trusting_context()

    assert context is chassis.egress.connections.trusting_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.get_ca_certs()
