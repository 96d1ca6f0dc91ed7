"""What each model of the catalogue takes besides words, and OpenAI's names for the models that its programs ask for.

As the providers' pages said in November 2026. A model that staff have changed stays as it is, but for what
every model took until now: a first frame.
"""

from importlib import import_module

from django.db import migrations

today = import_module("videos.migrations.0011_catalogue_of_today")

RENAMED = {"studio-fast": "sora-2", "studio-pro": "sora-2-pro"}
KNOWN_BETTER = {
    "kling-4": {"takes": ["image", "last_frame", "audio"]},
    "seedance-2": {"takes": ["image", "last_frame", "seed", "audio"]},
    # Its app at fal makes six seconds in 1080p, and nothing else.
    "hailuo-02": {
        "takes": ["image", "last_frame"],
        "has_sound": False,
        "sizes": ["1920x1080"],
        "lengths": [6],
    },
}
COSTS = {"kling-4": "0.1570"}


def forwards(apps, schema_editor):
    VideoModel, ApiKey = apps.get_model("videos", "VideoModel"), apps.get_model("accounts", "ApiKey")
    # Where staff have a model of the new name already, both stay what they are.
    renamed = {
        old: new
        for old, new in RENAMED.items()
        if not VideoModel.objects.filter(slug=new).exists()
        and VideoModel.objects.filter(slug=old).update(slug=new)
    }
    for key in ApiKey.objects.exclude(allowed_models=[]) if renamed else ():
        key.allowed_models = [renamed.get(slug, slug) for slug in key.allowed_models]
        key.save(update_fields=["allowed_models"])
    first = {slug: (lengths, takes) for slug, _name, lengths, takes, _offers in today.MODELS}
    for model in VideoModel.objects.all():
        if (model.lengths, model.takes) == first.get(model.slug) and model.sizes == today.SHAPES:
            VideoModel.objects.filter(pk=model.pk).update(**KNOWN_BETTER.get(model.slug, {}))
            model.refresh_from_db()
            if model.slug in COSTS:
                model.offers.filter(cost_a_second=None).update(cost_a_second=COSTS[model.slug])
        if "image" not in model.takes:
            VideoModel.objects.filter(pk=model.pk).update(takes=["image", *model.takes])


class Migration(migrations.Migration):
    dependencies = [("videos", "0015_moderation"), ("accounts", "0008_api_keys")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
