import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from algowatch.web.guard import OriginGuard


def client(hosts=()):
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("ours"), methods=["GET", "POST"])])
    return TestClient(OriginGuard(app, hosts), base_url="http://127.0.0.1:5174")


@pytest.mark.parametrize("host", ["127.0.0.1:5174", "localhost", "LOCALHOST:1", "[::1]:5174", "127.9.9.9"])
def test_a_loopback_host_is_answered(host):
    assert client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1", "localhost@evil.example"])
def test_a_rebound_name_is_refused(host):
    answer = client().get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert "error" in answer.json()


def test_a_configured_host_name_is_answered():
    assert client({"desk.example"}).get("/", headers={"Host": "Desk.example"}).status_code == 200


def test_another_sites_page_may_not_post():
    answer = client().post("/", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_another_sites_page_may_not_read_without_an_origin_either():
    answer = client().get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
    assert answer.status_code == 403


def test_a_link_from_another_site_may_be_followed():
    answer = client().get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 200


def test_our_own_page_may_post():
    assert client().post("/", headers={"Origin": "http://127.0.0.1:5174"}).status_code == 200


def test_every_answer_says_not_to_guess_its_type():
    assert client().get("/").headers["x-content-type-options"] == "nosniff"
