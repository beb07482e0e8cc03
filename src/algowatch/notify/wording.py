"""The receivers' own titles and texts: Go templates over the data that Alertmanager gives them.

Source: Prometheus, "Notification template reference".
"""

from __future__ import annotations

import json
import logging
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from algowatch.errors import TemplateError
from algowatch.gotemplate.regex import matches, replace_all
from algowatch.gotemplate.template import Template
from algowatch.gotemplate.times import GoTime
from algowatch.gotemplate.values import StringMap, Struct
from algowatch.model.labels import Labels
from algowatch.notify.notified import fingerprint
from algowatch.senders.message import AlertInMessage, Message

_log = logging.getLogger("algowatch.notify")

Escape = Callable[[str], str]

_WORD = re.compile(r"\w+(?:['’.]\w+)*")
_ZERO_TIME_MS = -62_135_596_800_000


class Pairs(list[Struct]):
    """Name and value pairs, sorted by name."""

    go_methods: ClassVar[Mapping[str, str]] = {"Names": "names", "Values": "values"}

    def names(self) -> list[str]:
        return [pair.fields["Name"] for pair in self]

    def values(self) -> list[str]:
        return [pair.fields["Value"] for pair in self]


class Texts(StringMap):
    """Labels or annotations, with the methods that templates call on them."""

    go_methods: ClassVar[Mapping[str, str]] = {
        "SortedPairs": "sorted_pairs", "Remove": "remove", "Names": "name_list", "Values": "value_list",
    }  # fmt: skip

    def sorted_pairs(self) -> Pairs:
        return Pairs(Struct(Name=name, Value=self[name]) for name in sorted(self))

    def remove(self, names: Sequence[str]) -> Texts:
        return Texts((name, value) for name, value in self.items() if name not in names)

    def name_list(self) -> list[str]:
        return self.sorted_pairs().names()

    def value_list(self) -> list[str]:
        return self.sorted_pairs().values()


class Alerts(list[Struct]):
    go_methods: ClassVar[Mapping[str, str]] = {"Firing": "firing", "Resolved": "resolved"}

    def firing(self) -> Alerts:
        return Alerts(alert for alert in self if alert.fields["Status"] == "firing")

    def resolved(self) -> Alerts:
        return Alerts(alert for alert in self if alert.fields["Status"] == "resolved")


def _join(separator: str, parts: Sequence[str]) -> str:
    return separator.join(map(str, parts))


def _title(text: str) -> str:
    return _WORD.sub(lambda found: found.group()[:1].upper() + found.group()[1:].lower(), text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "toUpper": lambda text: str(text).upper(),
    "toLower": lambda text: str(text).lower(),
    "title": lambda text: _title(str(text)),
    "trimSpace": lambda text: str(text).strip(),
    "join": _join,
    "match": matches,
    "safeHtml": str,
    "safeUrl": str,
    "urlUnescape": lambda text: urllib.parse.unquote_plus(str(text)),
    "reReplaceAll": replace_all,
    "stringSlice": lambda *parts: [str(part) for part in parts],
    "toJson": lambda value: json.dumps(value, separators=(",", ":")),
}

BUILT_IN = """\
{{ define "__alertmanager" }}algowatch{{ end -}}
{{ define "__alertmanagerURL" }}{{ .ExternalURL }}{{ end -}}
{{ define "__subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] {{ .GroupLabels.SortedPairs.Values | join " " }}
{{- with .CommonLabels.Remove .GroupLabels.Names }}{{ if . }} ({{ .Values | join " " }}){{ end }}{{ end }}
{{- end -}}
{{ define "__text_alert_list" -}}
{{ range . }}{{ range .Annotations.SortedPairs }}{{ .Name }}: {{ .Value }}
{{ end }}{{ range .Labels.SortedPairs }}  {{ .Name }} = {{ .Value }}
{{ end }}{{ if .GeneratorURL }}  {{ .GeneratorURL }}
{{ end }}{{ end }}
{{- end -}}
{{ define "__text" -}}
{{ if .Alerts.Firing }}Firing:
{{ template "__text_alert_list" .Alerts.Firing }}{{ end }}{{ if .Alerts.Resolved }}Resolved:
{{ template "__text_alert_list" .Alerts.Resolved }}{{ end }}
{{- end -}}
{{ define "slack.default.title" }}{{ template "__subject" . }}{{ end -}}
{{ define "slack.default.text" }}{{ end -}}
{{ define "email.default.subject" }}{{ template "__subject" . }}{{ end -}}
{{ define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end -}}
{{ define "pushover.default.title" }}{{ template "__subject" . }}{{ end -}}
{{ define "pushover.default.message" }}{{ template "__text" . }}{{ end -}}
{{ define "telegram.default.message" }}{{ template "__text" . }}{{ end -}}
{{ define "discord.default.title" }}{{ template "__subject" . }}{{ end -}}
{{ define "discord.default.message" }}{{ template "__text" . }}{{ end -}}
{{ define "msteams.default.title" }}{{ template "__subject" . }}{{ end -}}
{{ define "msteams.default.text" }}{{ template "__text" . }}{{ end -}}
{{ define "msteamsv2.default.title" }}{{ template "__subject" . }}{{ end -}}
{{ define "msteamsv2.default.text" }}{{ template "__text" . }}{{ end -}}
{{ define "opsgenie.default.message" }}{{ template "__subject" . }}{{ end -}}
{{ define "opsgenie.default.description" }}{{ template "__text" . }}{{ end -}}
{{ define "victorops.default.entity_display_name" }}{{ template "__subject" . }}{{ end -}}
{{ define "victorops.default.state_message" }}{{ template "__text" . }}{{ end -}}
{{ define "sns.default.subject" }}{{ template "__subject" . }}{{ end -}}
{{ define "sns.default.message" }}{{ template "__text" . }}{{ end -}}
"""  # noqa: E501 - a line of the template is a line of its output
"""Under the names that Alertmanager's own templates have, so that a user's file may include them."""


class Wording:
    """Puts a receiver's title and text into messages. An empty template leaves that part to the sender.

    escape: how label and annotation values are made harmless where the service reads the text as markup.
    """

    def __init__(self, title: str, text: str, files: Sequence[str] = (), escape: Escape | None = None) -> None:
        """Raises: TemplateError."""
        self._escape = escape or (lambda value: value)
        self._title = _parse(title, files)
        self._text = _parse(text, files)

    def __call__(self, message: Message) -> Message:
        """A message that cannot be worded keeps the sender's own words: an ugly alert is better than none."""
        try:
            data = self._data(message)
            title = self._title.render(data).strip() if self._title else ""
            text = self._text.render(data).strip() if self._text else ""
        except TemplateError as error:
            _log.error("receiver %s: template: %s; sent in other words", message.receiver, error)
            return message
        return replace(message, title=title, text=text)

    def _data(self, message: Message) -> Struct:
        return Struct(
            Receiver=message.receiver,
            Status=message.status,
            Alerts=Alerts(self._alert(item) for item in message.alerts),
            GroupLabels=self._texts(message.group_labels),
            CommonLabels=self._texts(message.common_labels),
            CommonAnnotations=self._texts(message.common_annotations),
            ExternalURL=message.external_url,
        )

    def _alert(self, item: AlertInMessage) -> Struct:
        ends_at_ms = item.alert.ends_at_ms if item.status == "resolved" else _ZERO_TIME_MS
        return Struct(
            Status=item.status,
            Labels=self._texts(item.labels),
            Annotations=self._texts(item.annotations),
            StartsAt=GoTime.of_ms(item.alert.starts_at_ms),
            EndsAt=GoTime.of_ms(ends_at_ms),
            GeneratorURL=item.alert.generator_url,
            Fingerprint=fingerprint(item.labels),
        )

    def _texts(self, labels: Labels) -> Texts:
        return Texts((name, self._escape(value)) for name, value in labels)


def _parse(text: str, files: Sequence[str]) -> Template | None:
    if not text:
        return None
    template = Template(text, name="__receiver", functions=FUNCTIONS, missing_key="zero")
    for number, content in enumerate((BUILT_IN, *files)):
        template.add(content, f"file {number}")
    template.add(text, "__receiver")
    return template
