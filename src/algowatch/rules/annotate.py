"""Labels and annotations of alerting rules: Go templates with Prometheus's variables and functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from algowatch.errors import TemplateError
from algowatch.gotemplate.prometheus_functions import PrometheusContext, prometheus_functions
from algowatch.gotemplate.template import Template
from algowatch.gotemplate.values import StringMap, Struct
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import InstantQuery

_VARIABLES = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"


def _parse(alert: str, text: str) -> Template:
    known = prometheus_functions(PrometheusContext())
    return Template(_VARIABLES + text, name=f"__alert_{alert}", functions=known, missing_key="zero")


def check_template(alert: str, text: str) -> None:
    """Raises: TemplateError where the text is no template."""
    if "{{" in text:
        _parse(alert, text)


@dataclass(slots=True)
class Annotator:
    """Expands one rule's templates; each text is parsed once.

    A template that fails becomes its own error text, as in Prometheus: an alert with an ugly annotation is better than none.
    `faults` collects such errors until the rule fetches them with `take_faults`.
    """

    alert: str
    query: InstantQuery
    external_labels: Labels
    external_url: str
    _templates: dict[str, Template] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    def expand(self, text: str, labels: Labels, value: float, at_ms: int) -> str:
        if "{{" not in text:
            return text
        try:
            template = self._templates.get(text)
            if template is None:
                template = self._templates[text] = _parse(self.alert, text)
            context = PrometheusContext(self.query, at_ms, self.external_url)
            return template.render(self._data(labels, value), prometheus_functions(context))
        except TemplateError as error:
            self._faults.append(str(error))
            return f"<error expanding template: {error}>"

    def take_faults(self) -> list[str]:
        faults, self._faults = self._faults, []
        return faults

    def _data(self, labels: Labels, value: float) -> Struct:
        return Struct(
            Labels=StringMap(labels),
            ExternalLabels=StringMap(self.external_labels),
            ExternalURL=self.external_url,
            Value=value,
        )


def without_name(labels: Labels) -> Labels:
    return labels.without((METRIC_NAME,))
