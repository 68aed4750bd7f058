"""The console as a page, in a real browser, on a made-up drill that is under way."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from under_way import Running, live_lines

pytestmark = pytest.mark.browser


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, live_lines())
    yield running
    running.close()


@pytest.fixture
def link(running: Running, tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sevdrill", "console", "--web"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with process.stdout as output:
            found = output.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", found), found
            yield found
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_it_is_live_and_takes_part(browser: webdriver.Chrome, link: str, running: Running, axe: str) -> None:
    def until(element: str, text: str) -> None:
        WebDriverWait(browser, 30).until(lambda seen: text in seen.find_element(By.ID, element).text)

    def press(element: str) -> None:
        browser.find_element(By.ID, element).click()

    browser.get(link)
    until("head", "SEV-1 Database down")
    until("lights", "BAD: health")
    until("alerts", "firing: DatabaseDown")
    until("targets", "respond")
    press("ack")
    until("said", "nobody says who speaks")
    browser.find_element(By.ID, "by").send_keys("ana")
    press("ack")
    until("said", "on the timeline: ana ack")
    until("log", "ana acknowledged")
    browser.find_element(By.ID, "text").send_keys("<b>db</b> is gone")
    press("note")
    until("log", "ana notes <b>db</b> is gone")
    Select(browser.find_element(By.ID, "role")).select_by_visible_text("Technical Lead")
    press("take")
    until("roles", "Technical Lead: ana")
    Select(browser.find_element(By.ID, "status")).select_by_visible_text("monitoring")
    press("post")
    until("said", "announce monitoring")
    press("mitigated")
    until("log", "ana says that it is mitigated")
    press("hint")
    until("hints", "Hints: 1 of 1")
    assert [said[1] for said in running.said()] == ["ack", "note", "role", "announce", "mitigated", "hint"]
    # The one request that was refused is told by the browser itself.
    told = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in told if "/say" not in message or "422" not in message] == []
    browser.execute_script(axe)
    found: dict[str, Any] = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


def test_only_who_has_the_link_gets_in(link: str) -> None:
    base, _, token = link.partition("?token=")
    for path in ("", "events"):
        assert httpx.get(base + path).status_code == 403
        assert httpx.get(f"{base}{path}?token=wrong").status_code == 403
        # As a page elsewhere would reach it that made its own name point here.
        assert httpx.get(f"{base}{path}?token={token}", headers={"Host": "evil.example"}).status_code == 403
    for path in ("say", "stop"):
        assert httpx.post(f"{base}{path}", json={"by": "x", "does": "ack"}).status_code == 403
    page = httpx.get(link)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    bad = httpx.post(f"{base}say?token={token}", json={"by": "ana", "does": "announce", "what": "fine"})
    assert bad.status_code == 422
    assert 'there is no status "fine"' in bad.json()["error"]
    assert httpx.post(f"{base}say?token={token}", content=b"[").status_code == 422
