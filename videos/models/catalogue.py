"""The catalog: accounts at providers, and the models on offer with their prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from videos.models.validators import (
    MAX_PROMPT_CHARACTERS,
    MAX_PROMPT_LIMIT,
    are_frame_rates,
    are_lengths,
    are_sizes,
    are_words,
    can_be_taken,
)
from videos.providers import dialects, kinds


class Channel(models.Model):
    """One account at one provider: its base URL, and the name of the environment variable with its key."""

    slug = models.SlugField(_("name"), unique=True)
    kind = models.CharField(_("protocol"), max_length=20, choices=kinds, default="openai")
    profile = models.CharField(
        _("server"),
        max_length=20,
        blank=True,
        choices=dialects.choices,
        help_text=_(
            "Which server of the OpenAI protocol it is. Empty: any that keeps to it, or another protocol."
        ),
    )
    base_url = models.URLField(
        _("base URL"),
        blank=True,
        help_text=_(
            "Of /v1/videos servers, it ends in /v1. Empty: the provider's own, or what the settings say."
        ),
    )
    key_variable = models.CharField(
        _("key variable"),
        max_length=100,
        blank=True,
        help_text=_("Name of the environment variable that holds the key. The key itself is never stored."),
    )
    honours_idempotency_key = models.BooleanField(
        _("honours Idempotency-Key"),
        default=False,
        help_text=_("A request that was cut off is then sent again with the same key, and is paid once."),
    )
    sends_webhooks = models.BooleanField(
        _("sends webhooks"),
        default=False,
        help_text=_(
            "To /webhooks/openai/ of this site. Running jobs are then asked about only once a minute."
        ),
    )
    max_running = models.PositiveIntegerField(
        _("running at once"),
        null=True,
        blank=True,
        default=5,
        help_text=_("Jobs at the provider at a time; the others wait here. Empty: no limit."),
        db_column="most_running",
    )
    max_submits_per_minute = models.PositiveIntegerField(
        _("submits a minute"),
        null=True,
        blank=True,
        default=20,
        help_text=_("Empty: no limit."),
        db_column="most_submits_a_minute",
    )
    max_credits_per_day = models.PositiveIntegerField(
        _("credits a day"),
        null=True,
        blank=True,
        help_text=_(
            "When today's accepted videos have cost this many credits, the others wait. Empty: no stop."
        ),
        db_column="most_credits_a_day",
    )
    charges_for_blocked = models.BooleanField(
        _("charges for blocked videos"),
        default=False,
        db_default=False,
        help_text=_(
            "The provider charges even for jobs that it accepts and then blocks. Users who cause several of these have"
            " to wait before their next video."
        ),
    )
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("While disabled, its queue waits and running jobs go on.")
    )

    # State of admission and of the circuit breaker.
    recent_submits = models.JSONField(
        default=list, editable=False, help_text=_("Unix times of the past minute, where submits are limited.")
    )
    failures = models.PositiveIntegerField(default=0, editable=False, help_text=_("Submits lost in a row."))
    resumes_at = models.DateTimeField(
        _("resumes"), null=True, editable=False, help_text=_("No new jobs before this time.")
    )

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["slug"]
        permissions = [("pause_channel", "Can pause and resume channel")]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Validates what staff enter: above all, which key may be sent to which server."""
        from videos import safe_http  # imported here because only the admin needs it
        from videos.providers import keys

        problems: dict[str, str | Promise] = {}
        if self.profile and self.kind != "openai":
            problems["profile"] = _("Only channels of the OpenAI protocol have one.")
        if refusal := keys.refusal(self.key_variable):
            problems["key_variable"] = refusal
        try:
            if self.base_url:
                safe_http.check_server(self.base_url)
        except safe_http.AddressRefused as error:
            problems["base_url"] = str(error)
        if problems:
            raise ValidationError(problems)


def all_extras() -> list[str]:
    """The default of VideoModel.takes."""
    return ["image", "seed", "negative_prompt"]


class Audience(models.TextChoices):
    """Who may see and use a model."""

    EVERYONE = "everyone", _("Everyone")
    STAFF = "staff", _("Staff only")


class VideoModel(models.Model):
    """A model that users can choose: what it can do and what it costs."""

    slug = models.SlugField(_("name in the API"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    channels = models.ManyToManyField(
        Channel, through="Offer", related_name="video_models", verbose_name=_("channels")
    )
    sizes = models.JSONField(
        _("sizes"),
        validators=[are_sizes],
        help_text=_('Such as ["1280x720", "720x1280"]; the first is the default.'),
    )
    lengths = models.JSONField(
        _("lengths"),
        validators=[are_lengths],
        help_text=_("Seconds, such as [4, 8, 12]; the first is the default."),
    )
    has_sound = models.BooleanField(_("sound"), default=True)
    takes = models.JSONField(
        _("takes"),
        default=all_extras,
        blank=True,
        validators=[can_be_taken],
        help_text=_(
            'What may be asked for besides, of ["image", "last_frame", "seed", "negative_prompt", "audio"].'
        ),
    )
    frame_rates = models.JSONField(
        _("frame rates"),
        default=list,
        blank=True,
        validators=[are_frame_rates],
        help_text=_(
            "Frames a second to choose from, such as [24, 30]; the first is the default. Empty: no choice."
        ),
    )
    qualities = models.JSONField(
        _("qualities"),
        default=list,
        blank=True,
        validators=[are_words],
        help_text=_(
            'In the provider\'s words, such as ["standard", "high"]; the first is the default. Empty: no choice.'
        ),
    )
    prompt_limit = models.PositiveIntegerField(
        _("longest prompt"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_PROMPT_LIMIT)],
        help_text=_("Characters. Empty: %d.") % MAX_PROMPT_CHARACTERS,
    )
    audience = models.CharField(_("offered to"), max_length=10, choices=Audience, default=Audience.EVERYONE)
    credits = models.PositiveIntegerField(
        _("credits"), null=True, blank=True, help_text=_("Price of one video. Empty: VIDEO_CREDITS.")
    )
    retires_on = models.DateField(_("retires on"), null=True, blank=True)
    successor = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("successor"),
        help_text=_("Named to who asks for a retired model, and taken where an old video is made again."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["position", "slug"]
        permissions = [("pause_videomodel", "Can pause and resume model")]

    def __str__(self) -> str:
        return self.name

    @property
    def price(self) -> int:
        """The default price in credits, for videos that no row of the price table matches."""
        return settings.VIDEO_CREDITS if self.credits is None else self.credits

    @property
    def longest_prompt(self) -> int:
        """The longest prompt, in characters."""
        return self.prompt_limit or MAX_PROMPT_CHARACTERS

    def price_of(self, size: str, seconds: int, extras: Mapping[str, Any] | None = None) -> int:
        """The price of a video in credits: that of the most specific matching row of the price table.

        Of `extras`, only quality and audio matter; if missing, the model's defaults apply.
        """
        extras = extras or {}
        quality = extras.get("quality") or next(iter(self.qualities), "")
        audio = "on" if extras.get("audio", self.has_sound) else "off"
        matching = [row for row in self.prices.all() if row.fits(size, seconds, quality, audio)]
        best = max(matching, key=lambda row: row.weight, default=None)
        return self.price if best is None else best.credits


class Price(models.Model):
    """A row of a model's price table: what a video of this size, length, quality and sound costs."""

    model = models.ForeignKey(VideoModel, models.CASCADE, related_name="prices", verbose_name=_("model"))
    size = models.CharField(
        _("size"), max_length=12, blank=True, help_text=_("Such as 1920x1080. Empty: any.")
    )
    seconds = models.PositiveSmallIntegerField(_("length"), default=0, help_text=_("Seconds. 0: any."))
    quality = models.CharField(_("quality"), max_length=20, blank=True, help_text=_("Empty: any."))
    audio = models.CharField(
        _("sound"), max_length=3, blank=True, choices=[("on", _("On")), ("off", _("Off"))]
    )
    credits = models.PositiveIntegerField(_("credits"))

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["size", "seconds", "quality", "audio"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "size", "seconds", "quality", "audio"], name="one_price_for_one_thing"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.credits}"

    def fits(self, size: str, seconds: int, quality: str, audio: str) -> bool:
        """Whether this row applies to such a video; an empty cell matches anything."""
        return (
            self.size in ("", size)
            and self.seconds in (0, seconds)
            and self.quality in ("", quality)
            and self.audio in ("", audio)
        )

    @property
    def weight(self) -> tuple[int, ...]:
        """Its specificity: the number of nonempty cells; ties are broken by length, then quality, size and audio."""
        cells = (bool(self.seconds), bool(self.quality), bool(self.size), bool(self.audio))
        return sum(cells), *cells


class Offer(models.Model):
    """A model at a channel: its name and cost there, and its priority among the model's channels."""

    model = models.ForeignKey(VideoModel, models.CASCADE, related_name="offers", verbose_name=_("model"))
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="offers", verbose_name=_("channel"))
    provider_model = models.CharField(_("the provider's name"), max_length=100)
    priority = models.PositiveSmallIntegerField(
        _("priority"),
        default=0,
        help_text=_("The lowest is asked first, the next when that cannot be reached."),
    )
    cost_a_second = models.DecimalField(
        _("cost a second"),
        max_digits=8,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_(
            "US dollars that the provider takes for each second of video. Empty: unknown, counted as 0."
        ),
    )

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        ordering = ["priority", "id"]
        constraints = [models.UniqueConstraint(fields=["model", "channel"], name="one_offer_a_channel")]

    def __str__(self) -> str:
        return f"{self.model} · {self.channel}"

    def cost_of(self, seconds: int) -> Decimal | None:
        """What the provider charges for a video of `seconds` seconds, in US dollars; None if unknown."""
        return None if self.cost_a_second is None else self.cost_a_second * seconds
