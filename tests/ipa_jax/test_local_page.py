"""What a local page refuses, what its answers carry, and what a failed start says."""

import socket

import pytest

from ipa_jax import local_page


@pytest.fixture
def app():
    """A page that can be read and sent a form."""
    app = local_page.new_app("ipa_jax.local_page")
    app.add_url_rule("/", view_func=lambda: "hello", methods=["GET", "POST"])
    return app


def test_headers_keep_the_page_to_itself(app):
    for url, status in (("/", 200), ("/nothing", 404)):
        reply = app.test_client().get(url)
        policy = reply.headers["Content-Security-Policy"]
        assert reply.status_code == status
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_another_site_cannot_send_a_form(app, headers, status):
    assert app.test_client().post("/", headers=headers).status_code == status


def test_another_name_for_this_computer_is_refused(app):
    assert app.test_client().get("/", headers={"Host": "evil.example"}).status_code == 400
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert app.test_client().get("/", headers={"Host": host}).status_code == 200
    anywhere = local_page.new_app("ipa_jax.local_page", hosts=None)
    anywhere.add_url_rule("/", view_func=lambda: "hello")
    assert anywhere.test_client().get("/", headers={"Host": "lab"}).status_code == 200


def test_long_requests_are_refused():
    app = local_page.new_app("ipa_jax.local_page")

    @app.post("/")
    def read():
        return local_page.request.get_data()

    assert app.test_client().post("/", data=b"x" * local_page.MOST_BYTES).status_code == 200
    assert app.test_client().post("/", data=b"x" * (local_page.MOST_BYTES + 1)).status_code == 413


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.8.0.1", True), ("::1", True),
                         ("0.0.0.0", False), ("192.0.2.1", False), ("lab", False)])  # fmt: skip
def test_only_loopback_addresses_are_this_computer_s_alone(host, loopback):
    assert local_page.is_loopback(host) == loopback
    assert (local_page.trusted_hosts(host) is not None) == loopback


@pytest.mark.parametrize(("host", "said"), [("nosuch.invalid", "no such host"), ("192.0.2.1", "not an address of")])
def test_a_host_that_cannot_be_listened_on_is_named(host, said):
    with pytest.raises(ValueError, match=f"--host {host}: {said}"), local_page.listening(host, 0):
        pass


def test_a_taken_port_is_named():
    with local_page.listening("127.0.0.1", 0) as (held,):
        port = held.getsockname()[1]
        assert local_page.addresses([held]) == [f"http://127.0.0.1:{port}/"]
        with (
            pytest.raises(ValueError, match=f"--port {port}: another program"),
            local_page.listening("127.0.0.1", port),
        ):
            pass
    socket.create_server(("127.0.0.1", port)).close()  # free again


@pytest.mark.parametrize("hosts", [local_page.LOOPBACK, None])
def test_a_page_that_others_can_reach_says_so(hosts, monkeypatch, capsys):
    monkeypatch.setattr("waitress.server.TcpWSGIServer.run", lambda server: None)
    with local_page.listening("127.0.0.1", 0) as sockets:
        local_page.serve(local_page.new_app("ipa_jax.local_page", hosts), sockets)
    assert ("warning: anyone on the network" in capsys.readouterr().out) == (hosts is None)
