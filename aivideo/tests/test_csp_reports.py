"""What browsers tell of our pages, and what others send in their name."""

import json
import logging
import time

import pytest
from django.test import Client

from aivideo import csp_reports
from tests.support.sabotage import becomes, without

pytestmark = pytest.mark.django_db

REPORT = {
    "csp-report": {
        "document-uri": "https://video.example.com/videos/?q=secret",
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://evil.example/x.js",
    }
}


def send(body, client=None):
    return (client or Client(enforce_csrf_checks=True)).post(
        "/csp-report/", body, content_type="application/csp-report"
    )


def test_what_a_browser_refused_is_in_the_log_without_what_was_searched_for(caplog):
    with caplog.at_level(logging.WARNING):
        assert send(json.dumps(REPORT)).status_code == 204
    assert "A browser refused script-src-elem https://evil.example/x.js on /videos/" in caplog.text
    assert "secret" not in caplog.text


def test_pages_name_the_address(as_owner):
    assert "report-uri /csp-report/" in as_owner.get("/")["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ("{}", 400),
        ('{"csp-report": 1}', 400),
        ("[" * 5000, 400),
        ('{"csp-report": {"document-uri": "http://["}}', 400),
        ('{"csp-report": {"blocked-uri": {}}}', 204),
        (" " * 9000, 413),
    ],
)
def test_what_is_no_report_is_a_4xx(body, status):
    assert send(body).status_code == status
    assert Client().get("/csp-report/").status_code == 405


@without(
    "the limit of lines in the log",
    "aivideo.csp_reports.csp_report",
    becomes("not hourly.count('csp-reports', MAX_PER_HOUR)", "True"),
)
def test_nobody_fills_the_log_or_writes_lines_of_their_own(caplog, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    report = {"csp-report": {**REPORT["csp-report"], "blocked-uri": "x\nERROR forged\x1b[31m"}}
    with caplog.at_level(logging.WARNING):
        for _ in range(csp_reports.MAX_PER_HOUR + 20):
            assert send(json.dumps(report)).status_code == 204
    lines = [record.getMessage() for record in caplog.records if record.name == "aivideo.csp_reports"]
    assert len(lines) == csp_reports.MAX_PER_HOUR
    assert not any("\n" in line or "\x1b" in line for line in lines)
