"""Acknowledging an alert: over the API, and by a page with a button that a link in a message opens.

The link itself changes nothing, since chat programs fetch links for their previews.
"""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from algowatch.notify.notifier import Notifier
from algowatch.web.alertmanager_bodies import RefusalError, read_json
from algowatch.web.requests import ApiError, answering_errors, bad_data, read_parameters, success

_MAX_TEXT = 1_000
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Acknowledge · algowatch</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }}
  h1 {{ font-size: 1.25rem }}
  button, input {{ font: inherit; padding: .6rem .8rem }}
  button {{ margin-top: 1rem }}
</style>
<h1>{title}</h1>
{content}
</html>"""


class AckApi:
    """/api/acks, and /ack/FINGERPRINT for people."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/acks", answering_errors(self.acks)),
            Route("/api/acks", answering_errors(self.acknowledge), methods=["POST"]),
            Route("/api/receivers/test", answering_errors(self.try_receivers), methods=["POST"]),
            Route("/ack/{fingerprint}", self.page),
            Route("/ack/{fingerprint}", self.press, methods=["POST"]),
        ]

    async def acks(self, request: Request) -> Response:
        return success([ack.as_json() for ack in self._notifier.acknowledgements()])

    async def acknowledge(self, request: Request) -> Response:
        """Takes `{"fingerprint": …, "by": …, "comment": …}`; answers once it cannot be lost any more."""
        try:
            posted = await read_json(request, "ack")
        except RefusalError as error:
            raise bad_data(str(error)) from None
        if not isinstance(posted, dict) or not isinstance(posted.get("fingerprint"), str):
            raise bad_data("the body must be an object with a fingerprint, such as /api/v2/alerts shows them")
        return success(await self._put(posted["fingerprint"], str(posted.get("by", "")), str(posted.get("comment", ""))))

    async def try_receivers(self, request: Request) -> Response:
        return success([trial.as_json() for trial in await self._notifier.try_receivers()])

    async def page(self, request: Request) -> Response:
        mark = request.path_params["fingerprint"]
        alert = self._notifier.firing(mark)
        if alert is None:
            return _html("This alert is over", "<p>It does not fire any more, or never did.</p>", 404)
        held = [ack for ack in self._notifier.acknowledgements() if ack.fingerprint == mark]
        labels = ", ".join(f"{name}={value}" for name, value in alert.labels if name != "alertname")
        known = f"<p>Acknowledged by {escape(held[0].by or 'somebody')} already.</p>" if held else ""
        form = (
            f"<p>{escape(alert.annotation('summary'))}</p><p><small>{escape(labels)}</small></p>{known}"
            '<form method="post"><label>Your name <input name="by" maxlength="100" autocomplete="name"></label><br>'
            "<button>I take care of it</button></form>"
        )
        return _html(alert.name or "Alert", form)

    async def press(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        try:
            await self._put(request.path_params["fingerprint"], parameters.get("by"), parameters.get("comment"))
        except ApiError as error:
            return _html("This alert is over", f"<p>{escape(str(error))}</p>", error.status)
        return _html("Acknowledged", "<p>Nobody else will be called for this alert.</p>")

    async def _put(self, mark: str, by: str, comment: str) -> dict[str, object]:
        try:
            ack = await self._notifier.acknowledge(mark, by[:_MAX_TEXT], comment[:_MAX_TEXT])
        except KeyError:
            raise ApiError("not_found", f"no alert with the fingerprint {mark[:40]!r} fires", 404) from None
        return ack.as_json()


def _html(title: str, content: str, status: int = 200) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.format(title=escape(title), content=content), status, headers)
