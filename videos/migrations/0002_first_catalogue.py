"""A catalogue to start with: staff change it in the admin, and nothing here overwrites what they did."""

from django.db import migrations

CHANNELS = [
    # The simulator makes one job of a repeated key, unless it is told not to.
    {"slug": "simulator", "key_variable": "SIMULATOR_KEY", "honours_idempotency_key": True},
    {"slug": "openai", "key_variable": "OPENAI_API_KEY", "honours_idempotency_key": False},
]
MODELS = [
    {
        "slug": "sora-2",
        "name": "Studio Fast",
        "provider_model": "sora-2",
        "sizes": ["1280x720", "720x1280", "1024x1024"],
        "lengths": [4, 8, 12],
        "position": 1,
    },
    {
        "slug": "sora-2-pro",
        "name": "Studio Pro",
        "provider_model": "sora-2-pro",
        "sizes": ["1280x720", "720x1280", "1792x1024", "1024x1792", "1920x1080", "1080x1920"],
        "lengths": [4, 8, 12],
        "position": 2,
    },
]


def forwards(apps, schema_editor):
    Channel = apps.get_model("videos", "Channel")
    VideoModel = apps.get_model("videos", "VideoModel")
    for channel in CHANNELS:
        Channel.objects.get_or_create(slug=channel["slug"], defaults=channel)
    openai = Channel.objects.get(slug="openai")
    for model in MODELS:
        VideoModel.objects.get_or_create(slug=model["slug"], defaults={**model, "channel": openai})


class Migration(migrations.Migration):
    dependencies = [("videos", "0001_initial")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
