"""The sections `delivery` and `escalation` of an algowatch.yml, as written and as the notifier takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field

from algowatch.config import Document, Duration, Section
from algowatch.errors import Fault
from algowatch.model.severity import parse_severity
from algowatch.notify.matchers import parse_matchers
from algowatch.notify.policy import PEOPLE, Escalation, Fallback, Flood, Policy, Step
from algowatch.notify.routing import Routing


class FallbackSection(Section):
    receivers: tuple[str, ...]
    after: Duration = 30_000
    lowest_severity: str = "warning"


class FloodSection(Section):
    messages: Annotated[int, Field(ge=2)] = 60
    per: Duration = 60_000
    channels: tuple[str, ...] = PEOPLE


class DeliverySection(Section):
    fallback: FallbackSection | None = None
    flood: FloodSection = Field(default_factory=FloodSection)


class StepSection(Section):
    after: Duration
    receiver: str


class EscalationSection(Section):
    matchers: tuple[str, ...]
    steps: tuple[StepSection, ...]


class PolicySections(Section):
    """What of an algowatch.yml is about alerts."""

    external_url: str = ""
    delivery: DeliverySection = Field(default_factory=DeliverySection)
    escalation: tuple[EscalationSection, ...] = ()


def policy_of(settings: PolicySections) -> Policy:
    """Raises: ValueError where a matcher or severity is wrong, which `policy_faults` tells with its line."""
    fallback, flood = settings.delivery.fallback, settings.delivery.flood
    return Policy(
        fallback=None
        if fallback is None
        else Fallback(fallback.receivers, fallback.after, parse_severity(fallback.lowest_severity)),
        flood=Flood(flood.messages, flood.per, flood.channels),
        escalations=tuple(_escalation(section) for section in settings.escalation),
        ack_url=f"{settings.external_url.rstrip('/')}/ack/" if settings.external_url else "",
    )


def _escalation(section: EscalationSection) -> Escalation:
    matchers = tuple(matcher for text in section.matchers for matcher in parse_matchers(text))
    return Escalation(matchers, tuple(Step(step.after, step.receiver) for step in section.steps))


def policy_faults(settings: PolicySections, document: Document, routing: Routing) -> Iterator[Fault]:
    """What is wrong beyond the shape: matchers, severities, receivers that the routing does not have."""
    receivers = list(routing.receivers)
    yield from matcher_faults(settings, document)
    for number, escalation in enumerate(settings.escalation):
        for index, step in enumerate(escalation.steps):
            if step.receiver not in receivers:
                place = ("escalation", number, "steps", index, "receiver")
                yield document.fault(place, f'unknown receiver "{step.receiver}"', _known(receivers))
    if (fallback := settings.delivery.fallback) is None:
        return
    channels = {f"{name}/{channel.integration}" for name, found in routing.receivers.items() for channel in found}
    for index, name in enumerate(fallback.receivers):
        if name not in receivers and name not in channels:
            here = ("delivery", "fallback", "receivers", index)
            yield document.fault(here, f'unknown receiver "{name}"', _known([*receivers, *sorted(channels)]))
    try:
        parse_severity(fallback.lowest_severity)
    except ValueError as error:
        problem, _, mend = str(error).partition("; ")
        yield document.fault(("delivery", "fallback", "lowest_severity"), problem, mend)


def matcher_faults(settings: PolicySections, document: Document) -> list[Fault]:
    faults = []
    for number, escalation in enumerate(settings.escalation):
        for index, text in enumerate(escalation.matchers):
            try:
                parse_matchers(text)
            except ValueError as error:
                problem, _, mend = str(error).partition("; ")
                faults.append(document.fault(("escalation", number, "matchers", index), problem, mend))
    return faults


def _known(names: Collection[str]) -> str:
    return f"receivers: {', '.join(names) or 'none'}"
