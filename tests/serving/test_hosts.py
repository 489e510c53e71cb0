"""Names and pages that a search replica answers, and those that it does not."""

from __future__ import annotations

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from serving import hosts, problems
from vitrine.errors import SettingsError
from vitrine.settings import Settings

PORT = 8123
OWN = [
    "localhost",
    f"localhost:{PORT}",
    f"127.0.0.1:{PORT}",
    f"[::1]:{PORT}",
    f"LocalHost:{PORT}",
    f"localhost.:{PORT}",
]
FOREIGN = [
    "evil.example",
    f"evil.example:{PORT}",
    f"localhost.evil.example:{PORT}",
    f"evil.example.localhost:{PORT}",
    f"127.0.0.1.evil.example:{PORT}",
    f"127.0.0.1.nip.io:{PORT}",
    "localhost:9",
    f"localhost:{PORT}0",
    f"localhost:{PORT}@evil.example",
    f"evil.example#localhost:{PORT}",
    f"localhost:{PORT},evil.example",
    f"localhost evil.example:{PORT}",
    f"192.0.2.1:{PORT}",
    "169.254.169.254",
    f"2130706433:{PORT}",
    f"0x7f.1:{PORT}",
    "[::2]",
    "[",
    "localhost:",
    ":",
    f":{PORT}",
    "*",
    "lоcalhost",  # with a Cyrillic letter
]


def _client(**environment: str) -> FlaskClient:
    app = Flask("hosts")
    problems.install(app)
    settings = Settings.from_environment({"VITRINE_SEARCH_PORT": str(PORT), **environment})
    hosts.install(app, settings)
    app.add_url_rule("/", "root", lambda: {"host": request.host}, methods=["GET", "POST"])
    return app.test_client()


def _status(client: FlaskClient, host: str, *, address: str = "127.0.0.1", port: int = PORT) -> int:
    environ = {"SERVER_NAME": address, "SERVER_PORT": str(port), "HTTP_HOST": host}
    return client.get("/", environ_overrides=environ).status_code


@pytest.mark.parametrize("host", OWN)
def test_a_replica_answers_by_its_own_names(host: str) -> None:
    assert _status(_client(), host) == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_replica_does_not_answer_by_other_names(host: str) -> None:
    assert _status(_client(), host) == 421


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::7", "::ffff:10.1.2.3"])
def test_health_checks_ask_by_the_address_that_they_connect_to(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    assert _status(_client(), f"{host}:{PORT}", address=address) == 200
    assert _status(_client(), f"{host}:{PORT}", address="10.9.9.9") == 421


def test_a_setting_adds_names() -> None:
    client = _client(VITRINE_SEARCH_HOSTS="shop.example, api.shop.example:8443, [fd00::1]:80")

    answers = {
        host: _status(client, host)
        for host in ("shop.example", "shop.example:1", "api.shop.example:8443", "api.shop.example:1", "[fd00::1]:80")
    }

    assert answers == {
        "shop.example": 200,
        "shop.example:1": 200,
        "api.shop.example:8443": 200,
        "api.shop.example:1": 421,
        "[fd00::1]:80": 200,
    }
    assert _status(client, "evil.example") == 421
    assert _status(client, OWN[1]) == 200


def test_a_setting_allows_any_name() -> None:
    assert _status(_client(VITRINE_SEARCH_HOSTS="*"), "anything.example") == 200


@pytest.mark.parametrize(
    ("name", "value"), [("HOSTS", "https://shop.example"), ("ORIGINS", "shop.example"), ("ORIGINS", "https://a/b")]
)
def test_what_is_no_name_or_no_origin_is_refused_as_a_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"VITRINE_SEARCH_{name}"):
        _client(**{f"VITRINE_SEARCH_{name}": value})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program
        ({"Origin": f"http://localhost:{PORT}"}, 200),  # the tier's own page
        ({"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}, 200),  # behind a proxy that speaks TLS
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": f"http://localhost:{PORT}.evil.example"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}, 200),  # by the setting
        ({"Origin": "https://SHOP.example"}, 200),
    ],
)
def test_a_form_of_another_page_is_refused_unless_a_setting_allows_the_page(
    headers: dict[str, str], status: int
) -> None:
    client = _client(VITRINE_SEARCH_ORIGINS="https://shop.example/")

    sent = client.post("/", headers={"Host": f"localhost:{PORT}", **headers})
    linked = client.get("/", headers={"Host": f"localhost:{PORT}", **headers})

    assert (sent.status_code, linked.status_code) == (status, 200)


def test_an_allowed_page_may_read_the_answer_and_no_other() -> None:
    client = _client(VITRINE_SEARCH_ORIGINS="https://shop.example")

    def allowed(origin: str, method: str) -> str | None:
        headers = {"Host": f"localhost:{PORT}", "Origin": origin}
        return client.open("/", method=method, headers=headers).headers.get("Access-Control-Allow-Origin")

    assert (
        allowed("https://shop.example", "OPTIONS") == allowed("https://shop.example", "POST") == "https://shop.example"
    )
    assert allowed("https://evil.example", "OPTIONS") is None
