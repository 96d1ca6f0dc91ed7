"""The admin site, `/admin/`: access, content security policy, menu and extra pages."""

from collections.abc import Callable, Iterable
from typing import Any, NotRequired, TypedDict

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import InvalidPage
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from aivideo.errors import error_page

# Unfold uses Alpine, which evaluates expressions in attributes, and an inline style for its colors.
POLICY = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}
TYPES = Authenticator.Type


class StaffSite(UnfoldAdminSite):
    site_title = site_header = "aivideo"

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and (
            not settings.STAFF_SECOND_FACTOR or gave_second_factor(request)
        )

    @method_decorator(never_cache)
    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the site's own sign-in, which limits wrong passwords and asks for second factors."""
        if self.has_permission(request):
            return redirect(_target(request))
        if super().has_permission(request):
            return _to_second_factor(request)
        if request.user.is_authenticated:
            text = gettext(
                "You are signed in as %(who)s, who is not a member of staff. Sign out to use another account."
            )
            return error_page(request, 403, gettext("Not allowed"), text % {"who": request.user})
        return redirect_to_login(_target(request), reverse("account_login"))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        return csp_update(POLICY)(super().admin_view(view, cacheable))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Unfold's search takes any text for a number of a page."""
        try:
            return super().search(request, extra_context)
        except InvalidPage as error:
            raise Http404 from error

    def extra_urls(self) -> list[URLPattern]:
        from aivideo.staff import (
            money_console,  # imports models, which are not loaded yet when this site is created
        )

        return [
            path("money/", self.admin_view(money_console.money), name="money"),
            path("money/month.csv", self.admin_view(money_console.month_csv), name="month_csv"),
        ]

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: "type[admin.ModelAdmin[Any]] | None" = None,
        **options: Any,
    ) -> None:
        """Prefer our own admin classes, in whichever order apps register theirs, and give all of them Unfold's look.

        Models of other packages are read-only: a django-q schedule, for example, can run any function.
        """
        from aivideo.staff.admin.base import ModelAdmin, NobodyChanges  # imports models, too

        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            is_ours = admin_class is not None and admin_class.__module__.startswith("aivideo.")
            if self.is_registered(model) and not is_ours:
                continue
            if self.is_registered(model):
                self.unregister(model)
            if admin_class is None or admin_class is admin.ModelAdmin:
                registered: Any = type("ThirdParty", (NobodyChanges, ModelAdmin), {})
            elif is_ours:
                registered = admin_class
            else:
                registered = type(admin_class.__name__, (NobodyChanges, admin_class, ModelAdmin), {})
            super().register(model, registered, **options)


def gave_second_factor(request: HttpRequest) -> bool:
    """Whether this session was opened or confirmed with a second factor that the user still has."""
    records = get_authentication_records(request, request.user)
    used = [record["id"] for record in records if record.get("method") == "mfa"]
    return Authenticator.objects.filter(user=request.user, pk__in=used).exists()


def _to_second_factor(request: HttpRequest) -> HttpResponse:
    """Redirect to where a member of staff enters or sets up a second factor."""
    if not is_mfa_enabled(request.user, [TYPES.TOTP, TYPES.WEBAUTHN]):
        messages.info(
            request,
            _("Members of staff need a second factor. Set one up here, then open the admin again."),
            fail_silently=True,
        )
        return redirect("mfa_index")
    has_app = is_mfa_enabled(request.user, [TYPES.TOTP])
    page = reverse("mfa_reauthenticate" if has_app else "mfa_reauthenticate_webauthn")
    return redirect(f"{page}?{urlencode({REDIRECT_FIELD_NAME: _target(request)})}")


def _target(request: HttpRequest) -> str:
    """The page to return to, if it is on this site; else the dashboard."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    is_here = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
    return target if is_here else reverse("admin:index")


class MenuItem(TypedDict):
    title: str | Promise
    icon: str
    link: str


class MenuGroup(TypedDict):
    """A part of the menu, as Unfold takes it."""

    title: str | Promise
    separator: NotRequired[bool]
    items: list[MenuItem]


def navigation(request: HttpRequest) -> list[MenuGroup]:
    """The menu, with the items that this member of staff may open."""
    may = request.user.has_perm  # type: ignore[union-attr]
    first: list[MenuItem] = [{"title": _("Dashboard"), "icon": "dashboard", "link": reverse("admin:index")}]
    if may("accounts.view_payment"):
        first.append({"title": _("Money console"), "icon": "account_balance", "link": reverse("admin:money")})
    groups: list[MenuGroup] = [{"title": "", "items": first}]
    for title, lines in MENU:
        items: list[MenuItem] = [
            {"title": name, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
            for name, icon, app, model in lines
            if may(f"{app}.view_{model}")
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


MENU = (
    (
        _("Studio"),
        [
            (_("Videos"), "movie", "videos", "video"),
            (_("Users"), "group", "accounts", "user"),
            (_("Models"), "model_training", "videos", "videomodel"),
            (_("Channels"), "cable", "videos", "channel"),
            (_("Uploads"), "image", "videos", "upload"),
            (_("Verdicts"), "gavel", "videos", "verdict"),
            (_("Blocked terms"), "block", "videos", "blockedterm"),
            (_("Batches"), "stacks", "videos", "batch"),
            (_("API keys"), "vpn_key", "accounts", "apikey"),
        ],
    ),
    (
        _("Money"),
        [
            (_("Payments"), "payments", "accounts", "payment"),
            (_("Credit entries"), "receipt_long", "accounts", "creditentry"),
            (_("Expiring credits"), "hourglass_bottom", "accounts", "lot"),
            (_("Staff grants"), "add_card", "accounts", "staffgrant"),
            (_("Credit packs"), "sell", "accounts", "creditpack"),
            (_("Plans"), "event_repeat", "accounts", "plan"),
            (_("Subscriptions"), "autorenew", "accounts", "subscription"),
            (_("Low balances"), "notifications", "accounts", "lowbalance"),
            (_("Redeem codes"), "redeem", "accounts", "codebatch"),
            (_("Free credits"), "volunteer_activism", "accounts", "freecredits"),
        ],
    ),
    (
        _("Operations"),
        [
            (_("Audit log"), "history_edu", "aivideo", "auditentry"),
            (_("Ledger checks"), "fact_check", "aivideo", "ledgercheck"),
            (_("Ledger seals"), "lock_clock", "aivideo", "ledgerseal"),
            (_("Purchase checks"), "shopping_cart", "aivideo", "purchasecheck"),
            (_("Provider webhooks"), "webhook", "videos", "webhookreceipt"),
            (_("Stripe webhooks"), "webhook", "accounts", "stripeevent"),
            (_("Webhooks we send"), "send", "videos", "delivery"),
            (_("Workers"), "dns", "videos", "worker"),
            (_("Dispatcher leases"), "sync", "videos", "pumpslot"),
            (_("Groups"), "admin_panel_settings", "auth", "group"),
            (_("Second factors"), "key", "mfa", "authenticator"),
        ],
    ),
)
