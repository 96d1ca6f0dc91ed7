"""Where videos are made: accounts at providers, and the models that people may choose."""

from decimal import Decimal

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Channel(models.Model):
    """One account at one provider: where requests go, and the name of the variable that holds its key."""

    class Kind(models.TextChoices):
        OPENAI = "openai", _("OpenAI Videos API (/v1/videos)")

    slug = models.SlugField(_("name"), unique=True)
    kind = models.CharField(_("protocol"), max_length=20, choices=Kind, default=Kind.OPENAI)
    base_url = models.URLField(
        _("base URL"), blank=True, help_text=_("Ends in /v1. Empty: what the settings say for this channel.")
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
    most_running = models.PositiveIntegerField(
        _("running at once"),
        null=True,
        blank=True,
        default=5,
        help_text=_("Jobs at the provider at a time; the others wait here. Empty: no limit."),
    )
    most_submits_a_minute = models.PositiveIntegerField(
        _("submits a minute"), null=True, blank=True, default=20, help_text=_("Empty: no limit.")
    )
    most_credits_a_day = models.PositiveIntegerField(
        _("credits a day"),
        null=True,
        blank=True,
        help_text=_(
            "When today's accepted videos have cost this many credits, the others wait. Empty: no stop."
        ),
    )
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("While it is not, its queue waits and what runs goes on.")
    )

    # What `limits` keeps about it.
    recent_submits = models.JSONField(
        default=list, editable=False, help_text=_("Unix times of the past minute, where submits are limited.")
    )
    failures = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Submits in a row that were lost on the way.")
    )
    resumes_at = models.DateTimeField(
        _("resumes"), null=True, editable=False, help_text=_("Takes no new job before.")
    )

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["slug"]
        permissions = [("pause_channel", "Can pause and resume channel")]

    def __str__(self) -> str:
        return self.slug


# What many servers of the protocol take besides, though OpenAI's never did.
EXTRAS = ("seed", "negative_prompt")


def all_extras() -> list[str]:
    return list(EXTRAS)


class VideoModel(models.Model):
    """One line of the catalogue: a model people may choose, what it can do and what it costs."""

    slug = models.SlugField(_("name in the API"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    channel = models.ForeignKey(
        Channel, models.PROTECT, related_name="video_models", verbose_name=_("channel")
    )
    provider_model = models.CharField(_("the provider's name"), max_length=100)
    sizes = models.JSONField(
        _("sizes"), help_text=_('Such as ["1280x720", "720x1280"]; the first is the default.')
    )
    lengths = models.JSONField(
        _("lengths"), help_text=_("Seconds, such as [4, 8, 12]; the first is the default.")
    )
    has_sound = models.BooleanField(_("sound"), default=True)
    takes = models.JSONField(
        _("takes"),
        default=all_extras,
        blank=True,
        help_text=_('Of ["seed", "negative_prompt"], what the provider takes; programs may send no other.'),
    )
    credits = models.PositiveIntegerField(
        _("credits"), null=True, blank=True, help_text=_("Price of one video. Empty: VIDEO_CREDITS.")
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
    retires_on = models.DateField(_("retires on"), null=True, blank=True)
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
        """Credits for one video."""
        return settings.VIDEO_CREDITS if self.credits is None else self.credits

    def cost_of(self, seconds: int) -> Decimal | None:
        """US dollars that the provider takes for so many seconds; None where nobody said."""
        return None if self.cost_a_second is None else self.cost_a_second * seconds
