"""All URLs of the site."""

from allauth.account import views as account
from allauth.socialaccount import views as socialaccount
from allauth.socialaccount.providers.google import views as google
from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from accounts.views import sign_in
from aivideo import errors, health
from aivideo.csp_reports import csp_report

# Paths of the API. No page begins like this, so that neither looks through the other's patterns.
API = r"^(?=v1|api|mcp|openapi\.json|llms\.txt)"

admin.autodiscover()

urlpatterns = [
    re_path(API, include("videos.api.app")),
    path("", include("videos.urls")),
    path("", include("accounts.urls")),
    # Only those of allauth's pages that Google sign-in needs: every other one is attack surface.
    path("accounts/login/", sign_in, name="account_login"),
    path("accounts/logout/", account.logout, name="account_logout"),
    path("accounts/inactive/", account.account_inactive, name="account_inactive"),
    path("accounts/login/cancelled/", socialaccount.login_cancelled, name="socialaccount_login_cancelled"),
    # A second factor: required for staff, optional for everybody else.
    path("accounts/reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("admin/", admin.site.urls),
    path("csp-report/", csp_report, name="csp_report"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
if settings.GOOGLE_CLIENT_ID:
    urlpatterns += [
        path("accounts/google/login/", google.oauth2_login, name="google_login"),
        path("accounts/google/login/callback/", google.oauth2_callback, name="google_callback"),
    ]

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler429 = "aivideo.errors.too_many"
