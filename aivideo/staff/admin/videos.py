from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import JSONField
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.models import CreditEntry
from aivideo.staff import actions
from aivideo.staff.admin import catalogue_sync
from aivideo.staff.admin.base import (
    Audited,
    LargeTable,
    ModelAdmin,
    NoteForm,
    ReadOnly,
    StaffActions,
    sees_money,
    staff_action,
)
from videos.catalogue import breaker
from videos.models import (
    Channel,
    Offer,
    Price,
    PumpSlot,
    Upload,
    Video,
    VideoEvent,
    VideoModel,
    WebhookReceipt,
    Worker,
)
from videos.status.timeline import timeline_of

ON_OFF = {"on": "success", "off": "warning", "resting": "warning"}


class CanPause(StaffActions):
    """Channels and models can be paused and resumed, with a reason."""

    model: Any
    right: str
    actions_detail = ["pause", "resume"]

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.offers(request, self.right, self.model.objects.filter(enabled=True), object_id)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        stopped = self.model.objects.exclude(**actions.AT_WORK[self.model])
        return self.offers(request, self.right, stopped, object_id)

    pause = staff_action(
        actions.pause,
        _("Pause"),
        _("It takes no new work. Running videos continue."),
        _("Paused."),
        icon="pause",
        variant=ActionVariant.WARNING,
    )
    resume = staff_action(
        actions.resume,
        _("Resume"),
        _("It takes new work again, starting now."),
        _("Resumed."),
        icon="play_arrow",
        variant=ActionVariant.SUCCESS,
    )


@admin.register(Channel)
class ChannelAdmin(Audited, CanPause, ModelAdmin):
    audited_as = actions.Action.CHANNEL
    right = "videos.pause_channel"
    list_display = ["slug", "kind", "profile", "base_url", "key_variable", "honours_idempotency_key", "state"]
    list_filter = ["enabled", "kind"]
    search_fields = ["slug", "base_url"]
    actions_detail = [*CanPause.actions_detail, "compare"]

    def has_compare_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("videos.change_videomodel")  # type: ignore[union-attr]

    def facts_of(self, row: Any) -> Mapping[str, object]:
        names = [field.name for field in Channel._meta.fields if field.editable and not field.primary_key]
        return Channel.objects.filter(pk=row.pk).values(*names).first() or {}

    @action(
        description=_("Compare with provider"),
        icon="compare_arrows",
        url_path="compare",
        permissions=["compare"],
    )
    def compare(self, request: HttpRequest, object_id: str) -> HttpResponse:
        channel = self.get_object(request, object_id)
        if channel is None:
            raise Http404
        return catalogue_sync.page(request, channel)

    @display(description=_("state"), label=ON_OFF)
    def state(self, channel: Channel) -> tuple[str, Any]:
        if not channel.enabled:
            return "off", _("paused")
        if breaker.is_paused(channel, timezone.now()):
            return "resting", _("resting until %(at)s") % {"at": f"{channel.resumes_at:%H:%M:%S}"}
        return "on", _("active")


class PriceInline(TabularInline):
    """Prices of other sizes and lengths."""

    model = Price
    extra = 0


class OfferInline(TabularInline):
    """The channels that offer a model, in order of preference."""

    model = Offer
    extra = 0

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if sees_money(request) else ("cost_a_second",)


@admin.register(VideoModel)
class VideoModelAdmin(CanPause, ModelAdmin):
    right = "videos.pause_videomodel"
    list_display = ["name", "slug", "where", "price", "retires_on", "state", "position"]
    list_filter = ["enabled", "channels"]
    search_fields = ["name", "slug", "offers__provider_model"]
    inlines = [OfferInline, PriceInline]
    formfield_overrides = {JSONField: {"widget": UnfoldAdminTextareaWidget({"rows": 1})}}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("offers__channel")

    @display(description=_("channels"))
    def where(self, model: VideoModel) -> str:
        return ", ".join(str(offer.channel) for offer in model.offers.all()) or "–"

    @display(description=_("state"), ordering="enabled", label=ON_OFF)
    def state(self, model: VideoModel) -> tuple[str, Any]:
        return ("on", _("on sale")) if model.enabled else ("off", _("paused"))


class EventInline(ReadOnly, TabularInline):
    """Every change of state, with the provider's own words."""

    model = VideoEvent
    fields = ["at", "came_from", "went_to", "reason"]
    extra = 0


@admin.register(Video)
class VideoAdmin(StaffActions, ReadOnly, LargeTable, ModelAdmin):
    """Only `videos/generation/` changes states, so everything here is read-only or a staff action."""

    list_display = ["created_at", "user", "model", "state", "progress", "credits", "error_code"]
    list_filter = ["status", "model", "channel", "is_free"]
    filtered_by_links = ("ended_at__isnull",)
    list_select_related = ["user", "model"]
    search_fields = ["=id", "=user__email", "=ref", "prompt"]
    search_help_text = _("An id, a provider's id, an exact email address, or words from a prompt.")
    view_on_site = False  # only the owner may see its page
    change_form_before_template = "admin/video_receipt.html"
    inlines = [EventInline]
    readonly_fields = [
        *(
            "created_at",
            "deleted_at",
            "ref",
            "posted_at",
            "accepted_at",
            "ended_at",
            "attempts",
            "next_attempt_at",
        ),
        *("is_free", "cost", "bytes", "sha256", "width", "height", "duration", "stored_as"),
    ]
    actions_detail = ["refund", "hurry", "fail"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        job = [
            "status",
            "progress",
            "error_code",
            "error_detail",
            "channel",
            "ref",
            "posted_at",
            "accepted_at",
        ]
        job += [
            "ended_at",
            "attempts",
            "next_attempt_at",
            "is_free",
            *(["cost"] if sees_money(request) else []),
        ]
        order = ["user", "model", "prompt", "size", "seconds", "preset", "upload", "credits"]
        result = ["stored_as", "bytes", "sha256", "width", "height", "duration"]
        return [
            (_("Order"), {"fields": [*order, "created_at", "deleted_at"]}),
            (_("Job"), {"fields": job}),
            (_("Result"), {"fields": result}),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        video = self.get_object(request, object_id) if object_id else None
        context = {"receipt": timeline_of(video), "ledger": _entries(video)} if video else {}
        return super().changeform_view(request, object_id, form_url, context | (extra_context or {}))

    @display(
        description=_("state"),
        ordering="status",
        label={
            "queued": "info",
            "submitting": "info",
            "unconfirmed": "warning",
            "in_progress": "primary",
            "saving": "primary",
            "completed": "success",
            "failed": "danger",
            "canceled": "",
        },
    )
    def state(self, video: Video) -> tuple[str, str]:
        return video.status, video.get_status_display()

    @display(description=_("stored as"))
    def stored_as(self, video: Video) -> str:
        return video.file.name or "–"

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.offers(request, "videos.steer_video", Video.objects.paid_for(), object_id)

    def has_fail_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.offers(request, "videos.steer_video", Video.objects.live(), object_id)

    def has_hurry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.offers(request, "videos.steer_video", Video.objects.waiting(), object_id)

    refund = staff_action(
        actions.refund,
        _("Refund"),
        _("Refunds the credits. The owner keeps the video."),
        _("Refunded."),
        icon="undo",
        variant=ActionVariant.WARNING,
        form=NoteForm,
    )
    hurry = staff_action(
        actions.hurry,
        _("Retry now"),
        _(
            "Retries the pending step now, such as asking the provider for its status or downloading the file."
        ),
        _("It will be retried now."),
        icon="refresh",
    )
    fail = staff_action(
        actions.fail,
        _("Stop"),
        _("The video fails and is refunded. The provider may still charge us for work it has started."),
        _("Stopped and refunded."),
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        form=NoteForm,
    )


@admin.register(Upload)
class UploadAdmin(ReadOnly, ModelAdmin):
    list_display = ["id", "user", "width", "height", "created_at"]
    list_select_related = ["user"]
    search_fields = ["=id", "=user__email"]


@admin.register(PumpSlot)
class PumpSlotAdmin(ReadOnly, ModelAdmin):
    list_display = ["number", "owner", "until"]


@admin.register(Worker)
class WorkerAdmin(ReadOnly, ModelAdmin):
    list_display = ["name", "seen_at"]


@admin.register(WebhookReceipt)
class WebhookReceiptAdmin(ReadOnly, ModelAdmin):
    list_display = ["received_at", "event", "ref", "id"]
    list_filter = ["event"]
    search_fields = ["=id", "=ref"]


def _entries(video: Video) -> Any:
    return CreditEntry.objects.filter(reference=video.reference).order_by("pk")
