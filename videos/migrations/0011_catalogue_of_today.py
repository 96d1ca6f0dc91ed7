"""The models that people ask for, and where they are made. Each is offered once a key for its channel is there.

Names, lengths and costs (US dollars a second, at 720p) as the providers gave them in November 2026. What there is already
stays as it is: staff may have changed it.
"""

from importlib import import_module

from django.db import migrations

first = import_module("videos.migrations.0002_first_catalogue")

CHANNELS = [
    {"slug": "simulator", "kind": "openai", "most_running": None, "most_submits_a_minute": None},
    {"slug": "openai", "kind": "openai"},
    {"slug": "openrouter", "kind": "openrouter", "key_variable": "OPENROUTER_API_KEY"},
    {"slug": "xai", "kind": "xai", "key_variable": "XAI_API_KEY"},
    {"slug": "fal", "kind": "fal", "key_variable": "FAL_KEY"},
]
SHAPES = ["1280x720", "720x1280", "720x720"]
# slug, name, lengths, what it takes besides, offers: (channel, the provider's name, cost a second)
MODELS = [
    ("kling-4", "Kling 4", [5, 10], [], [("fal", "fal-ai/kling-video/v4/{task}-to-video", None)]),
    ("wan-2.6", "Wan 2.6", [5, 10], ["seed"], [("openrouter", "alibaba/wan-2.6", "0.0400")]),
    ("seedance-2", "Seedance 2", [5, 10], ["seed"], [("openrouter", "bytedance/seedance-2.0", None)]),
    (
        "hailuo-02",
        "Hailuo 02",
        [6, 10],
        [],
        [("fal", "fal-ai/minimax/hailuo-02/pro/{task}-to-video", "0.0800")],
    ),
    ("grok-imagine", "Grok Imagine", [6, 10, 15], [], [("xai", "grok-imagine-video", "0.0700")]),
]


def forwards(apps, schema_editor):
    Channel, VideoModel = apps.get_model("videos", "Channel"), apps.get_model("videos", "VideoModel")
    keys = {channel["slug"]: channel for channel in first.CHANNELS}
    channels = {
        channel["slug"]: Channel.objects.get_or_create(
            slug=channel["slug"], defaults={**keys.get(channel["slug"], {}), **channel}
        )[0]
        for channel in CHANNELS
    }
    models = [
        (model, [(channel, model["provider_model"], None) for channel in ("openai", "simulator")])
        for model in first.MODELS
    ]
    models += [
        (
            {
                "slug": slug,
                "name": name,
                "sizes": SHAPES,
                "lengths": lengths,
                "takes": takes,
                "position": 10 + n,
            },
            offers,
        )
        for n, (slug, name, lengths, takes, offers) in enumerate(MODELS)
    ]
    for fields, offers in models:
        fields = {name: value for name, value in fields.items() if name != "provider_model"}
        model, _ = VideoModel.objects.get_or_create(slug=fields["slug"], defaults=fields)
        for priority, (channel, name, cost) in enumerate(offers):
            model.offers.get_or_create(
                channel=channels[channel],
                defaults={"provider_model": name, "cost_a_second": cost, "priority": priority},
            )


class Migration(migrations.Migration):
    dependencies = [("videos", "0010_offers_only")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
