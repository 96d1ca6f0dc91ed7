"""Videos and their events."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext_lazy as _

from accounts import fast_sql
from accounts.models import ApiKey, User
from videos import event_log
from videos.models.batch import Batch
from videos.models.catalogue import Channel, VideoModel
from videos.models.status import ALLOWED_FROM, BLOCKED, FAILED_THERE, LIVE, REASONS, Status
from videos.models.uploads import Upload
from videos.providers.base import pixels


class VideoQuerySet(models.QuerySet["Video"]):
    def live(self) -> Self:
        """Videos that are not finished."""
        return self.filter(status__in=LIVE, ended_at=None)

    def waiting(self) -> Self:
        """Videos that wait for their next step, including timed-out jobs that are still polled, but not submitting ones."""
        timed_out = Q(
            status=Status.FAILED, error_code="timed_out", ref__isnull=False, deleted_at__isnull=True
        )
        return self.filter(Q(status__in=set(LIVE) - {Status.SUBMITTING}) | timed_out)

    def late(self) -> Self:
        """Videos that are past their deadline: see `Video.deadline_in`."""
        now = timezone.now()
        too_early = now - timedelta(seconds=settings.JOB_DEADLINE_SECONDS)
        impatient = Q(queued_at__lt=now - timedelta(seconds=settings.QUEUE_PATIENCE_SECONDS))
        unanswered = Q(accepted_at=None, posted_at__lt=too_early)
        return self.filter(
            Q(status=Status.QUEUED) & impatient
            | ~Q(status=Status.QUEUED) & (unanswered | Q(accepted_at__lt=too_early))
        )

    def paid_for(self) -> Self:
        """Completed videos that were not refunded."""
        return self.filter(status=Status.COMPLETED, is_free=False)

    def given_away(self) -> Self:
        """Bought at a provider but not paid for, although the provider did not fail them: it was our deadline, say."""
        failed_here = Q(status=Status.FAILED) & ~Q(error_code__in=FAILED_THERE)
        return self.filter(Q(is_free=True) | failed_here, ref__isnull=False)

    def kept(self) -> Self:
        """Videos that are not deleted."""
        return self.filter(deleted_at=None)

    def before(self, at: datetime, pk: uuid.UUID) -> Self:
        """Videos older than the video `pk`, created `at`: those below it in the library."""
        return self.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=pk))

    def since(self, at: datetime, pk: uuid.UUID) -> Self:
        """Videos newer than the video `pk`, created `at`."""
        return self.filter(Q(created_at__gt=at) | Q(created_at=at, pk__gt=pk))


class Video(models.Model):
    """A video from order to playback: the order, the job at the provider and the result in one row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="videos", verbose_name=_("user"))
    client_key = models.CharField(
        max_length=100, null=True, editable=False, help_text=_("Makes a repeated order the same order.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    # The order and its price.
    model = models.ForeignKey(VideoModel, models.PROTECT, related_name="videos", verbose_name=_("model"))
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="videos", verbose_name=_("channel"))
    provider_model = models.CharField(
        _("the provider's name"), max_length=100, blank=True, help_text=_("What its channel calls the model.")
    )
    prompt = models.TextField(_("prompt"))
    size = models.CharField(_("size"), max_length=12)
    seconds = models.PositiveSmallIntegerField(_("seconds"))
    preset = models.CharField(_("preset picture"), max_length=40, blank=True)
    upload = models.ForeignKey(
        Upload,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="videos",
        verbose_name=_("uploaded picture"),
    )
    last_frame = models.ForeignKey(
        Upload,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="ended_videos",
        db_index=False,
        verbose_name=_("last frame"),
    )
    credits = models.PositiveIntegerField(_("credits"), help_text=_("What ordering this video charged."))
    extras = models.JSONField(
        _("extras"), default=dict, editable=False, help_text=_("Seed and the like: see EXTRAS.")
    )
    remixed_from = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("remix of"),
    )

    # Only for videos of a batch.
    batch = models.ForeignKey(
        Batch,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="videos",
        db_index=False,
        verbose_name=_("batch"),
    )
    position = models.PositiveIntegerField(_("position"), null=True, editable=False)

    # Only for orders through the API.
    api_key = models.ForeignKey(
        ApiKey,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="videos",
        db_index=False,
        verbose_name=_("API key"),
    )
    metadata = models.JSONField(
        _("metadata"), default=dict, editable=False, help_text=_("Kept for the program that ordered it.")
    )
    webhook_url = models.URLField(_("webhook"), max_length=500, blank=True, editable=False)

    # State and schedule.
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.QUEUED)
    version = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text=_("Counts state changes, for optimistic locking."),
        db_column="moves",
    )
    next_attempt_at = models.DateTimeField(
        _("due"),
        null=True,
        default=timezone.now,
        help_text=_("When the dispatcher looks at it next: schedule and lease in one. Empty: never again."),
        db_column="next_at",
    )
    held_by = models.CharField(
        _("held by"),
        max_length=100,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_(
            "The dispatcher that claimed it last, which alone knows when it polls a running job next."
        ),
    )
    queued_at = models.DateTimeField(
        _("queued"),
        null=True,
        default=timezone.now,
        editable=False,
        help_text=_("Empty: its batch holds it back, and its patience does not run yet."),
    )
    progress = models.PositiveSmallIntegerField(_("progress"), default=0, help_text=_("Per cent."))
    error_code = models.CharField(
        _("error"), max_length=40, blank=True, help_text=_("Its sentence for the user is in REASONS.")
    )
    error_detail = models.TextField(_("what the provider said"), blank=True)

    # The job at the provider.
    ref = models.CharField(_("provider's id"), max_length=500, null=True, editable=False)
    posted_at = models.DateTimeField(_("posted"), null=True, editable=False)
    attempts = models.PositiveIntegerField(
        _("attempts"),
        default=0,
        editable=False,
        help_text=_("Failed tries of the current step."),
    )
    bad_files = models.PositiveSmallIntegerField(
        _("bad files"),
        default=0,
        db_default=0,
        editable=False,
        help_text=_("How many times what was downloaded was no video."),
    )
    accepted_at = models.DateTimeField(_("accepted"), null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    is_free = models.BooleanField(
        _("delivered free"),
        default=False,
        editable=False,
        help_text=_("Its credits were refunded all the same: the operator pays."),
    )
    cost = models.DecimalField(
        _("cost"),
        max_digits=10,
        decimal_places=4,
        null=True,
        editable=False,
        help_text=_("US dollars its provider charges, by the model's price when the job was done."),
    )

    # The result.
    file = models.FileField(_("file"), upload_to="videos/", blank=True)
    poster = models.FileField(_("poster"), upload_to="posters/", blank=True)
    bytes = models.PositiveBigIntegerField(_("bytes"), null=True, editable=False)
    sha256 = models.CharField(max_length=64, blank=True, editable=False)
    width = models.PositiveSmallIntegerField(_("width"), null=True, editable=False)
    height = models.PositiveSmallIntegerField(_("height"), null=True, editable=False)
    duration = models.FloatField(_("duration"), null=True, editable=False, help_text=_("Seconds."))

    # Until when this process holds it, if it is a running job that it has claimed, by `timing.clock`.
    held_until = 0.0
    # By how many seconds its last poll came later than planned, because more polls were due than this process could make.
    poll_delay = 0.0

    objects = VideoQuerySet.as_manager()

    class Meta:
        verbose_name = _("video")
        verbose_name_plural = _("videos")
        ordering = ["-created_at", "-id"]
        permissions = [("steer_video", "Can stop, hurry and refund video")]
        constraints = [
            models.UniqueConstraint(fields=["user", "client_key"], name="one_video_a_client_key"),
            models.UniqueConstraint(fields=["channel", "ref"], name="one_video_a_provider_job"),
            models.CheckConstraint(
                condition=~Q(status=Status.COMPLETED)
                | (~Q(file="") & ~Q(sha256=""))
                | Q(deleted_at__isnull=False),
                name="completed_has_its_file",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="library", condition=Q(deleted_at=None)),
            models.Index(fields=["-created_at", "-id"], name="newest"),
            models.Index(fields=["model", "-ended_at"], name="track_record"),
            # Partial indexes of unfinished videos only, so they stay small beside a million finished ones.
            models.Index(
                fields=["next_attempt_at"],
                name="due",
                condition=Q(next_attempt_at__isnull=False) & ~Q(status=Status.QUEUED),
            ),
            models.Index(
                fields=["held_by"], name="held", condition=Q(ended_at__isnull=True) & ~Q(held_by="")
            ),
            models.Index(
                fields=["status", "channel", "user", "created_at"],
                name="unfinished",
                condition=Q(ended_at__isnull=True),
            ),
            models.Index(
                fields=["ended_at"], name="wants_poster", condition=Q(status=Status.COMPLETED, poster="")
            ),
            models.Index(fields=["channel", "accepted_at"], name="accepted"),
            models.Index(
                fields=["channel", "ended_at"],
                name="blocked",
                condition=Q(status=Status.FAILED, error_code=BLOCKED),
            ),
            models.Index(
                fields=["api_key", "created_at"], name="by_program", condition=Q(api_key__isnull=False)
            ),
            models.Index(fields=["batch", "position"], name="in_batch", condition=Q(batch__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    def get_absolute_url(self) -> str:
        return reverse("videos:video", args=[self.pk])

    @property
    def is_live(self) -> bool:
        """Whether it is unfinished."""
        return self.status in LIVE

    @property
    def public_id(self) -> str:
        """The id that is used in the API, in pages and in the log."""
        return event_log.public_id(self.pk)

    @property
    def reference(self) -> str:
        """The reference of this video's ledger entries."""
        return f"video:{self.pk}"

    @property
    def reason(self) -> Promise | str:
        """Why it failed, as a sentence for its owner; empty if it has not failed."""
        return REASONS.get(self.error_code, "")

    @property
    def deadline(self) -> datetime:
        """When it times out and is refunded if it has got no further."""
        return self.deadline_in(Status(self.status))

    def deadline_in(self, status: Status) -> datetime:
        """The same, if it were in this state.

        In the queue, it waits QUEUE_PATIENCE_SECONDS for its turn. A render has JOB_DEADLINE_SECONDS from the moment the
        provider accepted it, however long it waited before: a wait that counted would be paid for by the operator. A
        request whose answer was lost has as long from when it was posted.
        """
        if status == Status.QUEUED:
            return (self.queued_at or self.created_at) + timedelta(seconds=settings.QUEUE_PATIENCE_SECONDS)
        begun_at = self.accepted_at or self.posted_at or self.created_at
        return begun_at + timedelta(seconds=settings.JOB_DEADLINE_SECONDS)

    @property
    def is_late(self) -> bool:
        return timezone.now() > self.deadline

    @cached_property
    def wanted_size(self) -> tuple[int, int]:
        """Width and height in pixels, as ordered; `width` and `height` are those of the file."""
        return pixels(self.size)

    def move_to(self, status: Status, reason: str = "", **fields: Any) -> bool:
        """Change the state by optimistic locking: False if the row has changed since it was read. True for one caller.

        `fields` are written in the same UPDATE; `reason` goes into the video's event. The caller that gets True
        does what follows from it, such as a refund, in the same transaction.
        """
        if self.status not in ALLOWED_FROM[status]:
            return False
        changes = {"status": status, "version": self.version + 1, **fields}
        event = VideoEvent(video_id=self.pk, came_from=self.status, went_to=status, reason=reason[:200])
        with transaction.atomic(savepoint=False):
            if not fast_sql.update(Video, changes, {"id": self.pk, "version": self.version}):
                return False
            fast_sql.insert(event)
            event_log.moved(self, status, reason, fields)
        for name, value in changes.items():
            setattr(self, name, value)
        return True


class VideoEvent(models.Model):
    """One state change of a video, as shown in its timeline."""

    video = models.ForeignKey(Video, models.CASCADE, related_name="events", verbose_name=_("video"))
    at = models.DateTimeField(_("at"), default=timezone.now)
    came_from = models.CharField(_("from"), max_length=12, choices=Status, blank=True)
    went_to = models.CharField(_("to"), max_length=12, choices=Status)
    reason = models.CharField(_("reason"), max_length=200, blank=True, db_column="why")

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.came_from} → {self.went_to}"
