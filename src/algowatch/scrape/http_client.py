"""The part of `prometheus.yml` that says how to reach a server: credentials, TLS, proxy. Source: Prometheus, `http_config`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from algowatch.config import Section
from algowatch.scrape.secret import SecretText


def _text(value: object) -> object:
    """YAML reads `1` and `true` as what they look like; where a text is wanted Prometheus takes them as they are written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise ValueError("a number with a point must be put in quotes here")
    return value


class IsPath:
    """Marks a field that holds a path, which counts from the configuration file's folder."""


Text = Annotated[str, BeforeValidator(_text)]
PathText = Annotated[Text, IsPath()]
TextMap = dict[str, Text]


class PrometheusSection(Section):
    """A key without a value counts as not written, as in Prometheus."""

    @model_validator(mode="before")
    @classmethod
    def leave_out_empty(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, Mapping) else data


class BasicAuth(PrometheusSection):
    not_supported: ClassVar[dict[str, str]] = {
        "username_ref": "use username or username_file",
        "password_ref": "use password or password_file",
    }

    username: Text = ""
    username_file: PathText = ""
    password: SecretText | None = None
    password_file: PathText = ""


class Authorization(PrometheusSection):
    not_supported: ClassVar[dict[str, str]] = {"credentials_ref": "use credentials or credentials_file"}

    type: Text = "Bearer"
    credentials: SecretText | None = None
    credentials_file: PathText = ""


class TlsConfig(PrometheusSection):
    not_supported: ClassVar[dict[str, str]] = {
        "ca_ref": "use ca or ca_file",
        "cert_ref": "use cert_file",
        "key_ref": "use key_file",
        "cert": "write it to a file and use cert_file",
        "key": "write it to a file and use key_file",
    }

    ca: Text = ""
    ca_file: PathText = ""
    cert_file: PathText = ""
    key_file: PathText = ""
    server_name: Text = ""
    insecure_skip_verify: bool = False
    min_version: Text = ""
    max_version: Text = ""


class HttpHeader(PrometheusSection):
    values: list[Text] = Field(default_factory=list)
    secrets: list[SecretText] = Field(default_factory=list)
    files: list[PathText] = Field(default_factory=list)


NO_OAUTH2 = {
    "oauth2": "let a helper write the token to a file and use authorization.credentials_file",
    "sigv4": "use basic_auth, authorization or http_headers",
    "azuread": "use authorization.credentials_file",
    "google_iam": "use authorization.credentials_file",
    "proxy_connect_header": "use proxy_url with the credentials in it",
}


class HttpClientConfig(PrometheusSection):
    """What scrape_configs, http_sd_configs, alertmanagers and remote_write have in common."""

    not_supported: ClassVar[dict[str, str]] = NO_OAUTH2

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretText | None = None
    bearer_token_file: PathText = ""
    tls_config: TlsConfig = Field(default_factory=TlsConfig)
    follow_redirects: bool = True
    enable_http2: bool = True
    proxy_url: Text = ""
    no_proxy: Text = ""
    proxy_from_environment: bool = False
    http_headers: dict[str, HttpHeader] = Field(default_factory=dict)

    def credential_problems(self) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """Place inside this section, problem and mend of each contradiction."""
        ways = [key for key in ("basic_auth", "authorization", "bearer_token", "bearer_token_file") if getattr(self, key)]
        if len(ways) > 1:
            yield (
                (ways[1],),
                f"at most one of basic_auth, authorization, bearer_token & bearer_token_file: {', '.join(ways)}",
                ("keep one of them"),
            )
        if self.basic_auth is not None and self.basic_auth.password and self.basic_auth.password_file:
            yield ("basic_auth",), "at most one of basic_auth password & password_file must be configured", "keep one of them"
        if self.basic_auth is not None and self.basic_auth.username and self.basic_auth.username_file:
            yield ("basic_auth",), "at most one of basic_auth username & username_file must be configured", "keep one of them"
        yield from self._authorization_problems()
        yield from self._tls_problems()

    def _authorization_problems(self) -> Iterator[tuple[tuple[str, ...], str, str]]:
        found = self.authorization
        if found is None:
            return
        if found.credentials and found.credentials_file:
            yield (
                ("authorization",),
                "at most one of authorization credentials & credentials_file must be configured",
                ("keep one of them"),
            )
        if found.type.lower() == "basic":
            yield ("authorization", "type"), 'authorization type cannot be set to "basic"', 'use "basic_auth" instead'

    def _tls_problems(self) -> Iterator[tuple[tuple[str, ...], str, str]]:
        tls = self.tls_config
        if tls.ca and tls.ca_file:
            yield ("tls_config",), "at most one of ca and ca_file must be configured", "keep one of them"
        if bool(tls.cert_file) != bool(tls.key_file):
            present, absent = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
            yield ("tls_config",), f"exactly one of key or key_file must be configured with {present}", f"add {absent}"
        for key in ("min_version", "max_version"):
            version = getattr(tls, key)
            if version and version not in TLS_VERSIONS:
                yield ("tls_config", key), f"unknown TLS version: {version}", f"versions: {', '.join(TLS_VERSIONS)}"


TLS_VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
