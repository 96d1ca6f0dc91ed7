from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.contrib.admin import autodiscover
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AivideoConfig(AppConfig):
    default = True
    name = "aivideo"
    verbose_name = _("Operations")

    def ready(self) -> None:
        post_migrate.connect(_install_guards, sender=self)


def _install_guards(using: str, plan: Sequence[tuple[Any, bool]] = (), **kwargs: Any) -> None:
    from accounts import guards
    from aivideo import ledger_seals

    if any(is_backwards for _migration, is_backwards in plan):
        return
    guards.install(ledger_seals.GUARDS, using)


class AdminConfig(admin.SimpleAdminConfig):
    """Django's admin with our own AdminSite, loaded with the URLs of the site: workers and commands start without it."""

    default = False
    default_site = "aivideo.staff.site.StaffSite"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_admin, checks.Tags.admin)


def _check_admin(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    autodiscover()
    return check_admin_app(app_configs, **kwargs)
