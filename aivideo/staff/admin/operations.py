from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from aivideo.models import AuditEntry, LedgerCheck, LedgerSeal, PurchaseCheck
from aivideo.staff.admin.base import ModelAdmin, ReadOnly


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):
    """The log of staff actions. Nobody can change it."""

    list_display = ["at", "staff", "action", "target", "detail", "reason"]
    list_filter = ["action", "at"]
    list_select_related = ["staff"]
    search_fields = ["=target", "staff__email", "staff__username", "reason"]
    search_help_text = _("Exact target such as video:<id>, a member of staff, or words from the reason.")


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "result"]

    @display(description=_("result"), label={"ok": "success", "wrong": "danger"})
    def result(self, check: LedgerCheck) -> tuple[str, Any]:
        n = len(check.violations)
        return ("wrong", _("problems: %(n)d") % {"n": n}) if n else ("ok", _("no problems"))


@admin.register(LedgerSeal)
class LedgerSealAdmin(ReadOnly, ModelAdmin):
    """Keep a head somewhere else, and `manage.py check_ledger --head` tells whether the ledger still contains what it sealed."""

    list_display = ["at", "table", "last_id", "rows", "digest"]
    list_filter = ["table", "at"]
    search_fields = ["=digest"]


@admin.register(PurchaseCheck)
class PurchaseCheckAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "result", "given_away", "given_away_cost"]

    @display(description=_("result"), label={"ok": "success", "wrong": "danger"})
    def result(self, check: PurchaseCheck) -> tuple[str, Any]:
        return ("wrong", _("discrepancies: %(n)d") % {"n": check.wrong}) if check.wrong else ("ok", _("none"))
