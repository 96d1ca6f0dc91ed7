"""Admin pages of moderation: blocked terms, and verdicts that staff may overrule."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.enums import ActionVariant

from aivideo.staff import actions
from aivideo.staff.admin.base import LargeTable, ModelAdmin, ReadOnly, StaffActions, staff_action
from videos.models import BlockedTerm, Verdict


@admin.register(BlockedTerm)
class BlockedTermAdmin(ModelAdmin):
    list_display = ["term", "created_at"]
    search_fields = ["term"]


@admin.register(Verdict)
class VerdictAdmin(StaffActions, LargeTable, ReadOnly, ModelAdmin):
    """Verdicts are written by `videos/moderation/gate.py`. Staff may overrule a refusal."""

    list_display = ["id", "at", "user", "state", "about", "because", "source", "overruled_at"]
    list_filter = ["outcome", "at"]
    list_select_related = ["user"]
    search_fields = ["=id", "=user__email", "=user__username", "=digest"]
    search_help_text = _("Exact reference, email address or user name.")
    fields = [
        *(
            "id",
            "at",
            "user",
            "outcome",
            "about",
            "because",
            "source",
            "prompt",
            "negative_prompt",
            "upload",
            "last_frame",
        ),
        *("digest", "overruled_by", "overruled_at"),
    ]
    readonly_fields = ["id", "about", "because"]
    actions_detail = ["overrule"]

    @display(
        description=_("outcome"),
        ordering="outcome",
        label={"allowed": "success", "refused": "danger", "unasked": "warning", "overruled": "info"},
    )
    def state(self, verdict: Verdict) -> tuple[str, Any]:
        if verdict.overruled_at:
            return "overruled", _("overruled")
        return verdict.outcome, verdict.get_outcome_display()

    @display(description=_("refused inputs"))
    def about(self, verdict: Verdict) -> str:
        return ", ".join(verdict.inputs) or "–"

    @display(description=_("categories"))
    def because(self, verdict: Verdict) -> str:
        return ", ".join(verdict.categories) or "–"

    def has_overrule_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        refused = Verdict.objects.filter(outcome=Verdict.Outcome.REFUSED, overruled_at=None)
        return self.offers(request, "videos.overrule_verdict", refused, object_id)

    overrule = staff_action(
        actions.overrule,
        _("Overrule"),
        _("From now on, the same text and picture will pass moderation for this user."),
        _("Overruled. Let the user know that they can try again."),
        icon="balance",
        variant=ActionVariant.WARNING,
    )
