"""The live page: this machine only, these files only, and as fresh as the runs."""

import http.client
import json
import re
from collections.abc import Iterator

import pytest

from e2eve.comparison.dashboard_page import DashboardSettings, LiveDashboard
from e2eve.reporting.serving import is_local, server
from tests.browser import serving
from tests.comparison.factories import Made, write_run


def get(port: int, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "runs" / "a", Made({"tokenizer": "a"}, saved=2))
    write_run(tmp_path / "runs" / "b", Made({"tokenizer": "b"}, state="running"))
    return tmp_path / "runs"


@pytest.fixture
def dashboard(runs) -> LiveDashboard:
    return LiveDashboard(DashboardSettings(str(runs), title="Live", port=0, refresh=0.2))


@pytest.fixture
def port(dashboard) -> Iterator[int]:
    with serving(dashboard) as found:
        yield found


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:8050", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8050", True),
        ("evil.example", False),
        ("evil.example:8050", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("192.168.0.7:8050", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_local(host, local):
    assert is_local(host) is local


def test_other_names_are_refused_whatever_they_ask_for(port):
    for path in ("/", "/state", "/files/x"):
        assert get(port, path, "evil.example")[0] == 403
    assert get(port, "/")[0] == 200


def test_only_files_that_the_page_leads_to_are_handed_out(port, runs):
    page = get(port, "/")[2].decode()
    data = page.partition('id="data">')[2].partition("</script>")[0]
    link = json.loads(data)["configurations"][0]["runs"][0]["strips"]["00000"]["link"]
    status, headers, body = get(port, f"/{link}")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert body == (runs / "a" / "samples" / "inputs" / "00000.png").read_bytes()
    directory = link.rpartition("/")[0]
    for path in (
        "/files/../a/config.yaml",
        f"/{directory}/../config.yaml",
        f"/{directory}/%2e%2e/status.json",
        f"{runs}/a/config.yaml",
        "//etc/passwd",
        "/favicon.ico",
    ):
        assert get(port, path)[0] == 404, path


def test_the_page_is_made_anew_when_a_run_changes_and_not_otherwise(port, runs):
    state, page = get(port, "/state")[2], get(port, "/")[2]
    assert state.decode() in page.decode()
    assert (get(port, "/state")[2], get(port, "/")[2]) == (state, page)
    (runs / "b" / "status.json").write_text('{"state": "failed", "error": "Oops: no"}')
    assert get(port, "/state")[2] != state
    assert "Oops: no" in get(port, "/")[2].decode()


def test_runs_that_are_gone_are_a_sentence_and_not_the_end(port, runs):
    runs.rename(runs.parent / "elsewhere")
    status, _, body = get(port, "/")
    assert status == 503 and b"is no folder" in body
    (runs.parent / "elsewhere").rename(runs)
    assert get(port, "/")[0] == 200


def test_a_taken_port_is_one_sentence(port, dashboard):
    with pytest.raises(ValueError, match=r"cannot be listened at .*give another port"):
        server(dashboard, "127.0.0.1", port)


def test_folders_without_runs_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        LiveDashboard(DashboardSettings(str(tmp_path)))


def test_an_open_page_follows_the_runs_and_keeps_what_was_chosen(port, runs, watched):
    page = watched.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("body[data-ready]")
    page.locator("#input-00001").check()
    page.locator("#results-table [data-column=recall_5] button").click()
    write_run(runs / "c", Made({"tokenizer": "c"}, saved=2))
    page.wait_for_selector("#results-table tr:nth-child(3)")
    page.wait_for_selector("#input-00001:checked")
    header = page.locator("#results-table thead [data-column=recall_5]")
    assert header.get_attribute("aria-sort") == "descending"
    assert page.locator("#cards .card").count() == 2  # b still runs


def test_an_input_that_is_gone_for_a_moment_is_chosen_again(port, runs, watched):
    page = watched.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("body[data-ready]")
    page.locator("#input-00001").check()
    late = write_run(runs.parent / "c", Made({"tokenizer": "c"}, saved=2)) / "samples" / "inputs"
    (late / "00001.png").rename(runs.parent / "00001.png")
    (runs.parent / "c").rename(runs / "c")  # saves its samples one by one, as evaluations do
    page.wait_for_selector("#input-00001", state="detached")
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#input-00000").is_checked()
    (runs.parent / "00001.png").rename(runs / "c" / "samples" / "inputs" / "00001.png")
    page.wait_for_selector("#input-00001:checked")


def test_a_link_out_of_a_run_is_not_followed(port, runs, tmp_path):
    (tmp_path / "secret.html").write_text("secret")
    link = runs / "a" / "report.html"
    link.unlink()
    link.symlink_to(tmp_path / "secret.html")
    page = get(port, "/")[2].decode()
    (address,) = {found for found in re.findall(r"files/\w+/report\.html", page)}
    assert get(port, f"/{address}")[0] == 404
