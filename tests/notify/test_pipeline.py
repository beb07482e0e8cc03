"""Timelines: what is told, and when, on a clock that the test holds."""

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels, Matcher
from algowatch.notify.configuration import parse_routing
from algowatch.notify.pipeline import Pipeline
from algowatch.notify.routing import built_in_routing
from algowatch.notify.silences import Silence, Silences
from algowatch.senders.channels import Channel, log_channel

BEGIN_MS = 1_700_000_000_000


class Timeline:
    """Runs a pipeline second by second and writes down what it tells."""

    def __init__(self, routing):
        self.silences = Silences([], lambda silence: None, lambda silence_id: None)
        self.pipeline = Pipeline(routing, self.silences)
        self.now_s = 0.0
        self.told = []

    @property
    def now_ms(self):
        return BEGIN_MS + round(self.now_s * 1000)

    def fire(self, name, lasts_s=3600.0, severity="warning", **labels):
        given = Labels.of({"alertname": name, "severity": severity, **labels})
        self.pipeline.receive([Alert(given, Labels(), self.now_ms, self.now_ms + round(lasts_s * 1000))], self.now_ms)

    def run_until(self, end_s):
        """Advance exactly at the moments that the pipeline asks for."""
        while True:
            for notification in self.pipeline.advance(self.now_ms):
                if notification.message is not None:
                    self._write_down(notification)
            due_ms = self.pipeline.next_due_ms()
            if due_ms is None or due_ms > BEGIN_MS + end_s * 1000:
                break
            self.now_s = (due_ms - BEGIN_MS) / 1000
        self.now_s = end_s

    def _write_down(self, notification):
        told = " ".join(
            f"{item.alert.name}{item.labels.get('symbol') and ':' + item.labels.get('symbol')}={item.status}"
            for item in notification.message.alerts
        )
        self.told.append((round(self.now_s, 3), notification.channel.receiver, told))


def timeline(yaml):
    return Timeline(parse_routing(yaml))


BASIC = """
route:
  receiver: desk
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 5m
  routes:
    - matchers: [severity=critical]
      receiver: pager
      continue: true
    - matchers: [quiet=night]
      receiver: desk
      mute_time_intervals: [first minute]
inhibit_rules:
  - source_matchers: [alertname=BrokerDown]
    target_matchers: [alertname=Stale]
    equal: [instance]
time_intervals:
  - name: first minute
    time_intervals: [{times: [{start_time: '22:13', end_time: '22:14'}]}]
receivers:
  - {name: desk, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
  - {name: pager, webhook_configs: [{url: 'http://127.0.0.1:1/', send_resolved: false}]}
"""


def test_a_group_waits_then_tells_changes_at_its_interval_and_repeats():
    line = timeline(BASIC)
    line.fire("Stale", symbol="A")
    line.run_until(5)
    line.fire("Stale", symbol="B")
    line.run_until(20)
    line.fire("Stale", symbol="C")
    line.run_until(450)
    assert line.told == [
        (10, "desk", "Stale:A=firing Stale:B=firing"),
        (70, "desk", "Stale:A=firing Stale:B=firing Stale:C=firing"),
        (430, "desk", "Stale:A=firing Stale:B=firing Stale:C=firing"),
    ]


def test_the_end_is_told_once_at_the_next_interval():
    line = timeline(BASIC)
    line.fire("Stale", lasts_s=30, symbol="A")
    line.fire("Stale", symbol="B")
    line.run_until(200)
    assert line.told == [(10, "desk", "Stale:A=firing Stale:B=firing"), (70, "desk", "Stale:A=resolved Stale:B=firing")]


def test_an_alert_over_before_the_group_wait_is_not_told():
    line = timeline(BASIC)
    line.fire("Stale", lasts_s=5)
    line.run_until(100)
    assert line.told == []


def test_continue_goes_on_to_the_siblings_and_send_resolved_is_obeyed():
    line = timeline(BASIC.replace("[quiet=night]", "['quiet=~\".*\"']").replace("22:13", "23:13").replace("22:14", "23:14"))
    line.fire("BrokerDown", lasts_s=30, severity="critical")
    line.run_until(100)
    assert line.told == [
        (10, "pager", "BrokerDown=firing"),
        (10, "desk", "BrokerDown=firing"),
        (70, "desk", "BrokerDown=resolved"),
    ]


def test_inhibited_alerts_stay_quiet_as_long_as_the_source_fires():
    line = timeline(BASIC)
    line.fire("BrokerDown", lasts_s=60, instance="g")
    line.fire("Stale", instance="g")
    line.fire("Stale", instance="other", symbol="X")
    line.run_until(130)
    assert line.told == [
        (10, "desk", "BrokerDown=firing"),
        (10, "desk", "Stale:X=firing"),
        (70, "desk", "BrokerDown=resolved"),
        (70, "desk", "Stale=firing Stale:X=firing"),
    ]


def test_a_muted_route_speaks_once_the_interval_is_over():
    """BEGIN is 22:13:20 UTC; the interval ends 40 s later."""
    line = timeline(BASIC)
    line.fire("Stale", quiet="night")
    line.run_until(100)
    assert line.told == [(70, "desk", "Stale=firing")]


def test_silence_ends_at_its_end_time():
    line = timeline(BASIC)
    matcher = Matcher("alertname", "=", "Stale")
    line.silences.put(Silence("", (matcher,), line.now_ms, line.now_ms + 69_000, "me", "test"), line.now_ms)
    line.fire("Stale")
    line.run_until(60)
    assert line.told == []
    assert line.pipeline.suppression(Labels.of(alertname="Stale"), line.now_ms).silenced_by
    line.run_until(80)
    assert line.told == [(70, "desk", "Stale=firing")]


def built_in():
    return Timeline(built_in_routing([log_channel(), Channel("pager", None, lambda *_: None, lowest_severity="critical")]))


def test_built_in_tells_at_once_and_severities_do_not_wait_for_each_other():
    line = built_in()
    line.fire("Stale", symbol="A")
    line.run_until(0)
    line.now_s = 0.1
    line.fire("Stale", severity="P0")
    line.run_until(0.1)
    line.now_s = 0.2
    line.fire("Stale", severity="critical", symbol="B")
    line.run_until(1)
    assert line.told == [
        (0, "warning", "Stale:A=firing"),
        (0.1, "critical", "Stale=firing"),
        (0.1, "critical", "Stale=firing"),
        (0.2, "critical", "Stale:B=firing"),
        (0.2, "critical", "Stale:B=firing"),
    ]


def test_built_in_gathers_what_comes_within_five_seconds_and_is_prompt_after_a_pause():
    line = built_in()
    line.fire("Stale", symbol="A")
    line.run_until(1)
    line.fire("Stale", symbol="B")
    line.run_until(2)
    line.fire("Stale", symbol="C")
    line.run_until(60)
    line.fire("Stale", symbol="D")
    line.run_until(70)
    assert [moment for moment, _, _ in line.told] == [0, 5, 60]
    assert line.told[1][2] == "Stale:A=firing Stale:B=firing Stale:C=firing"


def test_built_in_tells_the_end_as_it_comes():
    line = built_in()
    line.fire("Stale", lasts_s=7.5)
    line.run_until(30)
    assert line.told == [(0, "warning", "Stale=firing"), (7.5, "warning", "Stale=resolved")]


def test_a_refreshed_alert_lasts_and_is_not_told_again():
    line = built_in()
    for second in range(0, 30, 2):
        line.now_s = second
        line.fire("Stale", lasts_s=8)
        line.run_until(second + 1.9)
    line.run_until(60)
    assert line.told == [(0, "warning", "Stale=firing"), (36, "warning", "Stale=resolved")]


def test_a_refused_message_is_told_again_later():
    line = built_in()
    line.fire("Stale")
    (notification,) = line.pipeline.advance(line.now_ms)
    line.pipeline.refused(notification.group_key, notification.channel, line.now_ms + 60_000)
    line.run_until(200)
    assert [moment for moment, _, _ in line.told] == [60]
