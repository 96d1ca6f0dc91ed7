from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from accounts import checks  # noqa: F401  (registers the system check)

        pre_migrate.connect(_remove_guards, sender=self)
        post_migrate.connect(_install_guards, sender=self)


def _remove_guards(using: str, plan: Sequence[tuple[Any, bool]] = (), **kwargs: Any) -> None:
    """They name columns, which are gone after a migration backwards."""
    from accounts import guards

    if any(is_backwards for _migration, is_backwards in plan):
        guards.remove(guards.MONEY, using)


def _install_guards(using: str, plan: Sequence[tuple[Any, bool]] = (), **kwargs: Any) -> None:
    from accounts import guards

    if any(is_backwards for _migration, is_backwards in plan):
        return
    guards.install(guards.MONEY, using)
