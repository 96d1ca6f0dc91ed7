from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from videos.models import Channel, PumpSlot, Upload, Video, VideoEvent, VideoModel, WebhookReceipt, Worker


class ReadOnly:
    """For what only the product itself may write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin):
    list_display = ["slug", "kind", "base_url", "key_variable", "honours_idempotency_key", "enabled"]


@admin.register(VideoModel)
class VideoModelAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "channel", "provider_model", "price", "retires_on", "enabled", "position"]
    list_select_related = ["channel"]


class EventInline(ReadOnly, admin.TabularInline):
    model = VideoEvent
    fields = ["at", "came_from", "went_to", "why"]
    extra = 0


@admin.register(Video)
class VideoAdmin(ReadOnly, admin.ModelAdmin):
    """States move by `generation`'s verbs only, so everything here is to be read."""

    list_display = ["created_at", "user", "model", "status", "progress", "credits", "error_code", "ref"]
    list_filter = ["status", "model", "channel", "error_code", "created_at"]
    list_select_related = ["user", "model"]
    search_fields = ["=id", "user__email", "ref", "prompt"]
    show_full_result_count = False
    inlines = [EventInline]


@admin.register(Upload)
class UploadAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "user", "width", "height", "created_at"]
    list_select_related = ["user"]


@admin.register(PumpSlot)
class PumpSlotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["number", "owner", "until"]


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["name", "seen_at"]


@admin.register(WebhookReceipt)
class WebhookReceiptAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["received_at", "event", "ref", "id"]
    search_fields = ["=id", "=ref"]
    show_full_result_count = False
