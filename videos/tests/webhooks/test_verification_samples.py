"""The code with which the documentation verifies webhooks: it believes what we sign, and nothing else."""

import json
import time

import pytest

from tests.support.other_clients import run
from videos.api.openapi import verification
from videos.webhooks import signing

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMsIG9mIDMyIGJ5dGVz"
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzLCBvZiAzMiBi"
BODY = '{"id": "evt_1", "data": {"prompt": "Über den Wolken 雲"}}'.encode()

NODE = """
import { verified } from "./sample.mjs";
import fs from "node:fs";
const said = JSON.parse(fs.readFileSync(0)).map(([headers, body]) => {
  try { return verified("%s", headers, Buffer.from(body)).id === "evt_1"; } catch { return false; }
});
console.log(JSON.stringify(said));
"""
GO = """package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
)

func TestSample(t *testing.T) {
	var requests []struct {
		Headers map[string]string
		Body    string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		t.Fatal(err)
	}
	said := []bool{}
	for _, request := range requests {
		header := http.Header{}
		for name, value := range request.Headers {
			header.Set(name, value)
		}
		said = append(said, Verified("%s", header, []byte(request.Body)))
	}
	text, _ := json.Marshal(said)
	fmt.Println(string(text))
}
"""


def python(source, requests, folder):
    namespace = {}
    exec(source, namespace)

    def is_believed(headers, body):
        try:
            return namespace["verified"](SECRET, headers, body)["id"] == "evt_1"
        except ValueError:
            return False

    return [is_believed(*request) for request in requests]


def node(source, requests, folder):
    (folder / "sample.mjs").write_text(source)
    (folder / "all.mjs").write_text(NODE % SECRET)
    said = json.dumps([(headers, body.decode()) for headers, body in requests])
    return json.loads(run(["node", "all.mjs"], said, folder))


def go(source, requests, folder):
    (folder / "go.mod").write_text("module webhook\n\ngo 1.19\n")
    (folder / "sample.go").write_text(source)
    (folder / "sample_test.go").write_text(GO % SECRET)
    run(["go", "test", "-c", "-o", "tests"], folder=folder, GOTOOLCHAIN="local", CGO_ENABLED="0")
    said = json.dumps([{"Headers": headers, "Body": body.decode()} for headers, body in requests])
    return json.loads(run(["./tests"], said, folder).splitlines()[0])  # the next one says PASS


RUNNERS = {"Python": python, "Node.js": node, "Go": go}


@pytest.mark.parametrize("language", RUNNERS)
def test_samples_believe_only_what_is_signed_with_the_secret_just_now(language, tmp_path, monkeypatch):
    source = dict(verification.STANDARD)[language]
    signed = signing.signed_headers([SECRET], "evt_1", BODY)
    rotated = signing.signed_headers([OTHER, SECRET], "evt_1", BODY)
    forged = signing.signed_headers([OTHER], "evt_1", BODY)
    replayed = signed | {"webhook-id": "evt_2"}
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(signing.time, "time", lambda: now - 2 * signing.TOLERANCE)
        old = signing.signed_headers([SECRET], "evt_1", BODY)
    requests = [(one, BODY) for one in (signed, rotated, forged, replayed, old)]
    requests.append((signed, BODY + b" "))
    assert RUNNERS[language](source, requests, tmp_path) == [True, True, False, False, False, False]


@pytest.mark.parametrize("language", RUNNERS)
def test_samples_of_the_plain_format_believe_only_what_is_signed_with_the_secret(language, tmp_path):
    source = dict(verification.PLAIN)[language]
    signed, forged = (signing.plain_headers(secret, "evt_1", BODY) for secret in (SECRET, OTHER))
    requests = [(signed, BODY), (forged, BODY), (signed, BODY + b" ")]
    assert RUNNERS[language](source, requests, tmp_path) == [True, False, False]
