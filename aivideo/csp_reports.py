"""`/csp-report/`: what browsers refused to load on our pages, for the log.

A script that got into a page by a fault of ours is refused by the policy, and this is how we hear of it. So do pages that
extensions of browsers have changed, and anybody may send anything: a few lines an hour are kept.
"""

import json
import logging
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from videos import hourly
from videos.event_log import one_line

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 1024
MAX_PER_HOUR = 60  # lines of the log, for the whole site


@csrf_exempt
@login_not_required
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return HttpResponse(status=413)
    try:
        report = json.loads(body)["csp-report"]
        words = [str(report.get(name, "")) for name in ("effective-directive", "blocked-uri", "document-uri")]
        page = urlsplit(words.pop()).path
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return HttpResponse(status=400)
    if not hourly.count("csp-reports", MAX_PER_HOUR):
        log.warning("A browser refused %s", one_line(f"{words[0]} {words[1]} on {page}", 300))
    return HttpResponse(status=204)
