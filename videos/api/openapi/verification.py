"""How a program verifies our webhooks, in three languages. Tests run each of them against our own signatures.

Each sample defines one function of the secret, the headers, and the raw body.
"""

from videos.code_samples import Sample

STANDARD = [
    Sample(
        "Python",
        '''\
import base64, hashlib, hmac, json, time

def verified(secret, headers, body):
    """The event. body: the raw bytes.

    Raises ValueError if this site did not send it just now.
    """
    event_id = headers["webhook-id"]
    sent_at = headers["webhook-timestamp"]
    if abs(time.time() - int(sent_at)) > 300:
        raise ValueError("too old")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{sent_at}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    # There are two for a day after the secret is rotated.
    given = headers["webhook-signature"].encode().split()
    if not any(hmac.compare_digest(expected, one) for one in given):
        raise ValueError("wrong signature")
    return json.loads(body)''',
    ),
    Sample(
        "Node.js",
        """\
import { createHmac, timingSafeEqual } from "node:crypto";

// The event. body: a Buffer, as it came.
// Throws if this site did not send it just now.
export function verified(secret, headers, body) {
  const id = headers["webhook-id"];
  const sentAt = headers["webhook-timestamp"];
  const age = Math.abs(Date.now() / 1000 - Number(sentAt));
  if (!(age <= 300)) throw new Error("too old");
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const mac = createHmac("sha256", key);
  mac.update(id + "." + sentAt + ".").update(body);
  const expected = Buffer.from("v1," + mac.digest("base64"));
  // There are two for a day after the secret is rotated.
  const given = headers["webhook-signature"].split(" ");
  const isRight = given.map((one) => Buffer.from(one)).some((one) =>
    one.length === expected.length && timingSafeEqual(one, expected));
  if (!isRight) throw new Error("wrong signature");
  return JSON.parse(body);
}""",
    ),
    Sample(
        "Go",
        """\
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Verified tells whether this site sent the event just now.
// body is as it came.
func Verified(secret string, h http.Header, body []byte) bool {
	id, sentAt := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sentAt, 10, 64)
	age := time.Since(time.Unix(seconds, 0)).Abs()
	if err != nil || age > 5*time.Minute {
		return false
	}
	text := strings.TrimPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + sentAt + "."))
	mac.Write(body)
	sum := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	// There are two for a day after the secret is rotated.
	for _, given := range strings.Fields(h.Get("webhook-signature")) {
		if hmac.Equal([]byte("v1,"+sum), []byte(given)) {
			return true
		}
	}
	return false
}""",
    ),
]

PLAIN = [
    Sample(
        "Python",
        '''\
import hashlib, hmac, json

def verified(secret, headers, body):
    """The event. body: the raw bytes.

    Raises ValueError if this site did not sign it.
    """
    mac = hmac.new(secret.encode(), body, hashlib.sha256)
    given = headers["x-openai-signature"].encode()
    if not hmac.compare_digest(mac.hexdigest().encode(), given):
        raise ValueError("wrong signature")
    return json.loads(body)''',
    ),
    Sample(
        "Node.js",
        """\
import { createHmac, timingSafeEqual } from "node:crypto";

// The event. body: a Buffer, as it came.
// Throws if this site did not sign it.
export function verified(secret, headers, body) {
  const mac = createHmac("sha256", secret).update(body);
  const expected = Buffer.from(mac.digest("hex"));
  const given = Buffer.from(headers["x-openai-signature"]);
  const isRight = given.length === expected.length &&
    timingSafeEqual(given, expected);
  if (!isRight) throw new Error("wrong signature");
  return JSON.parse(body);
}""",
    ),
    Sample(
        "Go",
        """\
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// Verified tells whether this site signed the event.
// body is as it came.
func Verified(secret string, h http.Header, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	expected := hex.EncodeToString(mac.Sum(nil))
	given := h.Get("x-openai-signature")
	return hmac.Equal([]byte(expected), []byte(given))
}""",
    ),
]
