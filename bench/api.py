"""Retrieving a video over the API, compared with a proxy for the same protocol: LiteLLM's, in its own venv.

Both are in front of the same simulator. LiteLLM forwards the request; we answer it from a database row.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import api_keys
from bench import load, measure, rows, servers
from bench.report import line, say
from bench.site import free_port
from videos.models import Status
from videos.serializers import public_id

VIDEOS = 100
RATE = 300  # requests per second in the open loop
LITELLM = Path(os.environ.get("PEERS", sys.prefix)) / "litellm" / "bin" / "litellm"
MASTER_KEY = "sk-bench"


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    (user,) = rows.people(1)
    _key, text = api_keys.create(user, "bench")
    videos = rows.orders(
        [user], VIDEOS, status=Status.IN_PROGRESS, progress=40, accepted_at=timezone.now(), ref=None
    )
    ours = [(f"/v1/videos/{public_id(video.pk)}", f"Bearer {text}") for video in videos]
    seconds, rounds = (0.3, 1) if tiny else (2, 7)
    with (
        servers.simulator(3600) as port,
        servers.web(API_REQUESTS_A_MINUTE="0"),
        litellm(f"http://127.0.0.1:{port}/v1") as proxy,
    ):
        theirs = [(f"/v1/videos/{_order(proxy)}", f"Bearer {MASTER_KEY}") for _ in range(10)]
        contestants = {
            "ours": partial(_get, settings.PORT, ours, seconds),
            "LiteLLM": partial(_get, proxy, theirs, seconds),
        }
        for contestant in contestants.values():
            contestant()  # warm-up
        say(f"{rounds} rounds of {seconds} s for each")
        answers = measure.alternate(rounds, contestants)
        say(f"{RATE} requests per second, without waiting for responses")
        steady = [_get(settings.PORT, ours, 4 * seconds, rate=RATE) for _ in range(1 if tiny else 3)]
    rates = {name: [answer["rate"] for answer in found] for name, found in answers.items()}
    ratio = measure.ratio(rates["ours"], rates["LiteLLM"])
    yield line(
        "api_retrieve",
        median(rates["ours"]),
        "requests/s",
        ratio=ratio,
        against="LiteLLM's proxy, two workers, in front of the same simulator",
        n=_count(answers["ours"]),
        target="ratio >= 4",
        met=ratio >= 4,
        litellm=median(rates["LiteLLM"]),
        p99=median(answer["p99"] for answer in answers["ours"]),
        litellm_p99=median(answer["p99"] for answer in answers["LiteLLM"]),
    )
    late = median(answer["p99"] for answer in steady)
    yield line(
        "api_at_300",
        late,
        "ms (p99)",
        n=_count(steady),
        target="p99 < 100 ms at 300 requests per second",
        met=late < 100,
        rate=RATE,
        p50=median(answer["p50"] for answer in steady),
    )


@contextmanager
def litellm(upstream: str, workers: int = 2, key: str = "none") -> Iterator[int]:
    """Run the proxy with one video model, that of the server `upstream`; yields its port."""
    if not LITELLM.exists():
        raise RuntimeError("LiteLLM's proxy is not installed; `make bench` installs it.")
    model = {"model": "openai/sora-2", "api_base": upstream, "api_key": key}
    config = {
        "model_list": [{"model_name": "sora-2", "litellm_params": model}],
        "general_settings": {"master_key": MASTER_KEY},
        "litellm_settings": {"telemetry": False},
    }
    file = Path(settings.DATA_DIR) / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is valid YAML
    port = free_port()
    # It must not use our database.
    command = ["env", "-u", "DATABASE_URL", "-u", "REDIS_URL", str(LITELLM), "--config", str(file)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    env = {
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": upstream,
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with servers.running(command, env) as process:
        servers.wait_for(f"http://127.0.0.1:{port}/health/liveliness", process)
        yield port


def _order(proxy: int) -> str:
    """Order a video through the proxy; returns its id there."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{proxy}/v1/videos",
        json.dumps({"model": "sora-2", "prompt": rows.PROMPT, "seconds": "4", "size": "1280x720"}).encode(),
        {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["id"]


def _get(port: int, pages: list[tuple[str, str]], seconds: float, **how: Any) -> dict[str, Any]:
    answer = load.get(load.Order(port, pages, seconds, header="Authorization", **how))
    if wrong := set(answer["statuses"]) - {"200"}:
        raise AssertionError(f"{pages[0][0]} answers {wrong}")
    return answer


def _count(answers: list[dict[str, Any]]) -> int:
    return sum(sum(answer["statuses"].values()) for answer in answers)
