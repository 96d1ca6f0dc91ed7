"""`/api/docs` and `/llms.txt`: the API documentation and a short guide for agents. Both are about this site, as it is now."""

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from videos import code_samples
from videos.api import tools
from videos.api.compat import drills
from videos.api.not_offered import NOT_OFFERED
from videos.api.openapi import answers, changes, error_codes, examples, reference, this_site, verification
from videos.api.openapi.document import FILE
from videos.api.openapi.reference import html
from videos.api.openapi.tutorials import OPENAI_GUIDE, TUTORIALS
from videos.api.openapi_extra import ERRORS
from videos.code_samples import Sample
from videos.webhooks import events, outbox


@login_not_required
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The documentation: guides, then every call and object."""
    facts = _facts(request)
    site, models = facts["site"], facts["models"]
    context = facts | {
        "first_video": code_samples.first_video(site, examples.KEY, [model.slug for model in models]),
        "openai_guide": OPENAI_GUIDE,
        "order": next(call for call in facts["groups"][0][1] if call["id"] == "create_video"),
        "completed_video": _completed_video(site),
        "limits": this_site.limits(),
        "statuses": [(status, html(about)) for status, about in ERRORS.items()],
        "codes": [one._replace(remedy=html(one.remedy)) for one in error_codes.CODES],
        "video_codes": error_codes.VIDEO_CODES.items(),
        "events": [(kind, about, kind in events.DEFAULT_EVENTS) for kind, about in events.EVENTS.items()],
        "max_tries": outbox.MAX_TRIES,
        "verification": verification.STANDARD,
        "plain_verification": verification.PLAIN,
        "agents": _agents(site),
        "tools": [(name, tool.about) for name, tool in tools.TOOLS.items()],
        "tutorials": [
            one._replace(
                requests=[
                    code_samples.highlighted(text.replace(examples.SITE, site)) for text in one.requests
                ]
            )
            for one in TUTORIALS
        ],
        "objects": reference.objects(),
        "changes": changes.of_the_api(),
        "not_offered": [(name, html(instead)) for name, instead in NOT_OFFERED.items()],
        "longest_wait": drills.LONGEST_WAIT,
        "max_waiting": drills.waiting.max_running,
    }
    return render(request, "videos/developer/api_docs.html", context)


@login_not_required
@require_safe
def llms(request: HttpRequest) -> HttpResponse:
    """What an agent has to know to make a video here, as plain text (https://llmstxt.org)."""
    facts = _facts(request)
    samples = {
        call["id"]: {one.label: one.source for one in call["samples"]}
        for _tag, calls in facts["groups"]
        for call in calls
    }
    context = facts | {"examples": samples, "errors": ERRORS.items(), "not_offered": NOT_OFFERED.items()}
    return render(request, "videos/developer/llms.txt", context, content_type="text/plain; charset=utf-8")


@login_not_required
@require_safe
def openapi(request: HttpRequest) -> HttpResponseBase:
    """The document, for client generators."""
    response = FileResponse(FILE.open("rb"), content_type="application/json")
    response["Access-Control-Allow-Origin"] = "*"
    return response


def _facts(request: HttpRequest) -> dict[str, Any]:
    """What the page and the guide both need."""
    site = request.build_absolute_uri("/").rstrip("/")
    return {
        "site": site,
        "groups": reference.groups(site),
        "models": this_site.models(request.user if request.user.is_authenticated else None),
        "requests_a_minute": settings.API_REQUESTS_A_MINUTE,
    }


def _completed_video(site: str) -> SafeString:
    """A completed video, as the API returns it."""
    return code_samples.highlighted(json.dumps(answers.COMPLETED, indent=2).replace(examples.SITE, site))


def _agents(site: str) -> list[Sample]:
    """How programs that speak MCP are told about this site."""
    key = examples.KEY
    return [
        Sample(
            "Claude Code",
            f'claude mcp add --transport http aivideo {site}/mcp \\\n  --header "Authorization: Bearer {key}"',
        ),
        Sample(
            "Cursor",
            f"""{{
  "mcpServers": {{
    "aivideo": {{
      "url": "{site}/mcp",
      "headers": {{"Authorization": "Bearer {key}"}}
    }}
  }}
}}""",
        ),
        Sample(
            "VS Code",
            f"""{{
  "servers": {{
    "aivideo": {{
      "type": "http",
      "url": "{site}/mcp",
      "headers": {{"Authorization": "Bearer {key}"}}
    }}
  }}
}}""",
        ),
        Sample(
            "Codex",
            f"""# ~/.codex/config.toml; the key is in the variable AIVIDEO_KEY
[mcp_servers.aivideo]
url = "{site}/mcp"
bearer_token_env_var = "AIVIDEO_KEY\"""",
        ),
    ]
