"""The view behind "Improve my prompt": shows both versions, and the user chooses."""

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.models import User
from videos.pages import htmx, studio
from videos.pages.studio_form import StudioForm
from videos.prompts import assistant

STATUS = {
    assistant.NothingToImprove: 422,
    assistant.TooOften: 429,
    assistant.Unavailable: 503,
    assistant.Unusable: 502,
}


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def improve(request: HttpRequest) -> HttpResponse:
    """`/prompt/improve/`: an improved prompt beside the user's own. Nothing is ordered or charged.

    htmx gets only that part of the page. Without it the whole form is submitted, and the studio is rendered with its
    values. The choice works the same way: `use` puts `improved` into the prompt, `keep` leaves it as it is.
    """
    if not assistant.is_configured():
        raise Http404
    if request.method != "POST":  # the URL of that page, opened or reloaded
        return redirect("videos:studio")
    if not request.user.is_authenticated:
        # The session expired while the page was open.
        studio.keep_draft(request)
        return htmx.lead_to(request, f"{reverse('account_login')}?next={reverse('videos:studio')}")

    sent, help, status, after = request.POST.copy(), {}, 200, 0
    if "use" in sent:
        sent["prompt"] = sent.get("improved", "")
    elif "keep" not in sent:
        # Browsers submit a line break as two characters but count it as one.
        prompt = sent.get("prompt", "").replace("\r\n", "\n")
        try:
            help = {"own": prompt, "improved": assistant.improve(request.user, prompt)}
        except assistant.NoHelp as problem:
            help, status, after = {"no_help": str(problem)}, STATUS[type(problem)], problem.after

    if htmx.is_htmx(request):
        response = render(request, "videos/studio/_improved.html", help, status=status)
    else:
        # No video on the stage: without JavaScript, a page with a running video reloads every 2 s.
        response = studio.page(request, _as_sent(request, request.user, sent), None, status=status, help=help)
    if after:
        response["Retry-After"] = str(after)
    return response


def _as_sent(request: HttpRequest, user: User, sent: QueryDict) -> StudioForm:
    """The form as submitted, with errors only for pictures: a browser does not send a file again."""
    form = StudioForm(sent, request.FILES, user=user)
    form.is_valid()
    for field in form.errors.keys() - {"image", "file", "last", "last_file"}:
        del form.errors[field]
    return form
