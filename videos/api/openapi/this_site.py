"""What the documentation says about this installation: its models and its limits, as they are now."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import api_keys
from accounts.models import User
from videos.api import bodies, pictures, requests
from videos.catalogue import availability
from videos.generation import batches
from videos.media import images, uploads
from videos.models import Price, VideoModel


@dataclass(frozen=True)
class ModelRow:
    """A model as the documentation lists it. `seconds` and `credits` are short texts, `prices` those of its price table."""

    name: str
    slug: str
    aliases: list[str]
    sizes: list[str]
    default_size: str
    seconds: str
    default_seconds: int
    credits: str
    prices: list[tuple[str, int]]
    takes: list[str]
    prompt_limit: int


def models(user: User | None) -> list[ModelRow]:
    """The models that are available now to this user, or to everybody."""
    found = list(availability.models(user))
    slugs = {model.slug for model in found}
    return [_row(model, [alias for alias in requests.ALIASES if alias not in slugs]) for model in found]


def limits() -> list[tuple[str, str]]:
    """What is limited, and to how much."""
    a_minute = settings.API_REQUESTS_A_MINUTE
    return [
        (_("Requests per minute, for each key"), f"{a_minute:,}" if a_minute else _("unlimited")),
        (
            _("Videos that are made at a time, for each account"),
            _("%d; more wait in the queue") % settings.USER_RUNNING_VIDEOS,
        ),
        (_("Videos in a batch"), f"{batches.MAX_VIDEOS}"),
        (
            _("Pictures"),
            _("JPEG, PNG, or WebP, up to %(megabytes)d MB and %(megapixels)d megapixels") % images.LIMITS,
        ),
        (
            _("Pictures that are sent as a URL"),
            _("downloaded within %d seconds, one at a time for each account") % pictures.SECONDS,
        ),
        (_("Files of an account"), f"{uploads.MAX_FILES}"),
        (_("Request body"), f"{bodies.MAX_BYTES >> 20} MB"),
        (
            _(
                "Time to make a video from its acceptance by the provider, after which it fails and is refunded"
            ),
            _duration(settings.JOB_DEADLINE_SECONDS),
        ),
        (
            _("Time that a video waits for its turn before that, after which it fails and is refunded"),
            _duration(settings.QUEUE_PATIENCE_SECONDS),
        ),
        (_("Links to files (url) work for"), _duration(settings.LINK_SECONDS)),
        (_("Active keys of an account"), f"{api_keys.MAX_KEYS}"),
    ]


def _row(model: VideoModel, aliases: list[str]) -> ModelRow:
    prices = [(_what(row), row.credits) for row in model.prices.all()]
    costs = sorted({model.price, *(credits for _text, credits in prices)})
    is_usual = requests.DEFAULT_SIZE in model.sizes
    return ModelRow(
        name=model.name,
        slug=model.slug,
        aliases=[alias for alias in aliases if requests.ALIASES[alias] == model.slug],
        sizes=model.sizes,
        default_size=requests.DEFAULT_SIZE if is_usual else model.sizes[0],
        seconds=_ranges(model.lengths),
        default_seconds=model.lengths[0],
        credits=f"{costs[0]}" if len(costs) == 1 else f"{costs[0]}–{costs[-1]}",
        prices=[*prices, (_("anything else"), model.price)] if prices else [],
        takes=model.takes,
        prompt_limit=model.longest_prompt,
    )


def _what(row: Price) -> str:
    """What a row of a price table is for, such as "1920x1080, 8 s, with sound"."""
    sound = {"on": _("with sound"), "off": _("without sound")}.get(row.audio, "")
    parts = [row.size, f"{row.seconds} s" if row.seconds else "", row.quality, sound]
    return ", ".join(filter(None, parts)) or _("anything")


def _ranges(numbers: list[int]) -> str:
    """Whole numbers in ascending order, three or more successive ones as a range: "1–60" or "5, 10"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(texts)


def _duration(seconds: int) -> str:
    """A number of seconds in the largest unit that divides it."""
    if seconds % 3600 == 0:
        return ngettext("%d hour", "%d hours", seconds // 3600) % (seconds // 3600)
    if seconds % 60 == 0:
        return ngettext("%d minute", "%d minutes", seconds // 60) % (seconds // 60)
    return ngettext("%d second", "%d seconds", seconds) % seconds
