"""Real SMTP against aiosmtpd, with TLS."""

import shutil
import socket
import ssl
import subprocess
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from algowatch.errors import DeliveryError
from algowatch.senders import email

TIMEOUT_S = 5.0


class Mailbox:
    """Keeps the mails; answers RCPT for `gone@…` with 550 and for `busy@…` with 451."""

    def __init__(self):
        self.mails = []
        self.log_ins = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 no such user"
        if address.startswith("busy"):
            return "451 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((session.ssl is not None, envelope.rcpt_tos, mail))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.log_ins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH")
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def mailbox():
    return Mailbox()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(mailbox):
    running = []

    def start(**options):
        controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), server_hostname="mx.test", **options)
        controller.start()
        running.append(controller)
        return controller.port

    yield start
    for controller in running:
        controller.stop()


def settings(port, **given):
    values = {"security": "none", "to": ("desk@example.org",), "hello": "bot.test", **given}
    return email.Settings(host="localhost", port=port, sender="algowatch <bot@example.org>", **values)


def test_starttls_with_log_in(serve, tls, certificate, mailbox, message, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    port = serve(tls_context=tls, require_starttls=True, authenticator=mailbox.authenticate)
    email.send(settings(port, security="starttls", username="desk", password="right"), message(), TIMEOUT_S)
    ((encrypted, recipients, mail),) = mailbox.mails
    assert encrypted
    assert recipients == ["desk@example.org"]
    assert mailbox.log_ins == [(b"desk", b"right")]
    assert mail["Subject"] == "CRITICAL: DailyLossLimit (gamma-bot)"
    assert mail["X-Priority"] == "1"
    assert "P&L below the limit" in mail.get_content()


def test_a_wrong_password_is_final_and_not_shown(serve, tls, certificate, mailbox, message, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    port = serve(tls_context=tls, require_starttls=True, authenticator=mailbox.authenticate)
    with pytest.raises(DeliveryError, match="answered 535") as caught:
        email.send(settings(port, security="starttls", username="desk", password="hunter2"), message(), TIMEOUT_S)
    assert not caught.value.retryable
    assert "hunter2" not in str(caught.value)


def test_tls_from_the_start(serve, tls, certificate, mailbox, message, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    port = serve(ssl_context=tls)
    email.send(settings(port, security="tls"), message("resolved"), TIMEOUT_S)
    assert mailbox.mails[0][2]["Subject"] == "RESOLVED: DailyLossLimit (gamma-bot)"


def test_an_unknown_authority_is_an_error(serve, tls, message):
    port = serve(ssl_context=tls)
    with pytest.raises(DeliveryError, match="TLS: self-signed certificate"):
        email.send(settings(port, security="tls"), message(), TIMEOUT_S)


def test_starttls_that_is_not_offered_is_refused(serve, mailbox, message):
    with pytest.raises(DeliveryError, match="offers no STARTTLS") as caught:
        email.send(settings(serve(), security="starttls"), message(), TIMEOUT_S)
    assert not caught.value.retryable
    assert mailbox.mails == []


def test_a_label_cannot_add_a_header(serve, mailbox, hostile):
    email.send(settings(serve()), hostile, TIMEOUT_S)
    mail = mailbox.mails[0][2]
    assert mail["Bcc"] is None
    assert "Bcc: a@b" in mail.get_content()


@pytest.mark.parametrize(("to", "retryable"), [(("gone@x",), False), (("busy@x",), True), (("desk@x", "gone@x"), False)])
def test_recipients_that_are_refused_are_an_error(serve, message, to, retryable):
    with pytest.raises(DeliveryError, match=rf"\(1 of {len(to)} recipients\)") as caught:
        email.send(settings(serve(), to=to), message(), TIMEOUT_S)
    assert caught.value.retryable is retryable


def test_mails_about_one_group_form_a_thread(message):
    first, second = email.payload(message()), email.payload(message("resolved"))
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]


def test_a_password_does_not_travel_in_clear_text(message):
    given = email.Settings("mx.example.org", "a@b", ("c@d",), username="u", password="p", security="none")
    with pytest.raises(DeliveryError, match="not sent without TLS"):
        email._log_in(None, given, "smtp://mx.example.org:587")
