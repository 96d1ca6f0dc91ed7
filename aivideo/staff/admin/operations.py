from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from aivideo.models import AuditEntry, LedgerCheck
from aivideo.staff.admin.base import ReadOnly


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):
    """Who did what to whom, and why. Nobody changes it."""

    list_display = ["at", "staff", "action", "target", "detail", "reason"]
    list_filter = ["action", "at"]
    list_select_related = ["staff"]
    search_fields = ["=target", "staff__email", "staff__username", "reason"]
    search_help_text = _("A whole target such as video:<id>, a member of staff, or words of a reason.")


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "result"]

    @display(description=_("found"), label={"right": "success", "wrong": "danger"})
    def result(self, check: LedgerCheck) -> tuple[str, Any]:
        n = len(check.violations)
        return ("wrong", _("%(n)d wrong") % {"n": n}) if n else ("right", _("all is right"))
