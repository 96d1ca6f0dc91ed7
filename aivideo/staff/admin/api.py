"""Admin pages of the API: keys, batches, webhook deliveries."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts.models import ApiKey
from aivideo.staff import actions
from aivideo.staff.admin.base import LargeTable, ModelAdmin, ReadOnly, StaffActions, staff_action
from videos.models import Batch, Delivery


@admin.register(ApiKey)
class ApiKeyAdmin(StaffActions, ReadOnly, ModelAdmin):
    """Neither the key's digest nor its webhook secret is shown; the key itself was shown once, to its owner."""

    list_display = ["name", "prefix", "user", "state", "credits_a_day", "max_credits", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["prefix", "name", "user__email"]
    fields = [
        *(
            "user",
            "name",
            "prefix",
            "state",
            "credits_a_day",
            "max_credits",
            "allowed_models",
            "repeat_window",
        ),
        *("webhook_url", "webhook_form", "webhook_events"),
        *("created_at", "expires_at", "revoked_at", "last_used_at"),
    ]
    readonly_fields = ["state"]
    actions_detail = ["revoke"]

    @display(description=_("state"), label={"active": "success", "ended": "danger"})
    def state(self, key: ApiKey) -> tuple[str, Any]:
        if key.revoked_at:
            return "ended", _("revoked")
        is_expired = key.expires_at is not None and key.expires_at <= timezone.now()
        return ("ended", _("expired")) if is_expired else ("active", _("active"))

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        keys = ApiKey.objects.filter(revoked_at=None)
        return self.offers(request, "accounts.revoke_apikey", keys, object_id)

    revoke = staff_action(
        actions.revoke,
        _("Revoke"),
        _("Programs that use this key will stop working immediately."),
        _("Key revoked."),
        icon="key_off",
        variant=ActionVariant.DANGER,
    )


@admin.register(Batch)
class BatchAdmin(LargeTable, ReadOnly, ModelAdmin):
    list_display = ["created_at", "user", "kind", "total", "credits", "concurrency", "ended_at"]
    list_select_related = ["user"]
    list_filter = ["kind", "created_at"]
    search_fields = ["=id", "=user__email"]


@admin.register(Delivery)
class DeliveryAdmin(LargeTable, ReadOnly, ModelAdmin):
    list_display = [
        "created_at",
        "event",
        "api_key",
        "url",
        "attempts",
        "status",
        "delivered_at",
        "next_attempt_at",
    ]
    list_select_related = ["api_key"]
    list_filter = ["event", "created_at"]
    search_fields = ["=id", "=url"]
    fields = [
        *("event", "api_key", "video", "url", "created_at", "attempts", "status", "reason"),
        *("delivered_at", "next_attempt_at"),
    ]
