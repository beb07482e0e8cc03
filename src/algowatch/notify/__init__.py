"""From alerts to messages: routing, grouping, the durable outbox, delivery."""

from algowatch.notify.configuration import load_routing, parse_routing
from algowatch.notify.lanes import LaneOptions
from algowatch.notify.notifier import Notifier, NotifyOptions
from algowatch.notify.routing import Routing, built_in_routing
from algowatch.notify.silences import Silence
from algowatch.notify.status import AlertStatus, GroupStatus

__all__ = [
    "AlertStatus",
    "GroupStatus",
    "LaneOptions",
    "Notifier",
    "NotifyOptions",
    "Routing",
    "Silence",
    "built_in_routing",
    "load_routing",
    "parse_routing",
]
