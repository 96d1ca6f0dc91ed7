"""The first two models make all that the simulator can, so that every control can be tried without any provider.

Only where the simulator stands in at the time of the upgrade, and only models that staff have left as they came:
what a real server makes under these names is for its operator to say.
"""

from importlib import import_module

from django.conf import settings
from django.db import migrations

first = import_module("videos.migrations.0002_first_catalogue")

SIZES = [
    *("1280x720", "720x1280", "720x720", "1706x720"),
    *("1920x1080", "1080x1920", "1080x1080", "2560x1080"),
    *("854x480", "480x854", "480x480", "1138x480"),
]
# The first is the default.
LENGTHS = [4, *(n for n in range(1, 61) if n != 4)]
TAKES = ["image", "last_frame", "seed", "negative_prompt", "audio"]


def forwards(apps, schema_editor):
    if not settings.USE_MOCK_SORA:
        return
    VideoModel = apps.get_model("videos", "VideoModel")
    for as_shipped in first.MODELS:
        sizes = as_shipped["sizes"]
        model = VideoModel.objects.filter(
            slug=as_shipped["slug"], lengths=as_shipped["lengths"], sizes=sizes
        ).first()
        if model is None or set(model.takes) - set(TAKES) or model.frame_rates or model.qualities:
            continue
        model.sizes = [*SIZES, *(size for size in sizes if size not in SIZES)]
        model.lengths, model.takes = LENGTHS, TAKES
        model.frame_rates, model.qualities = [24, 30], ["standard", "hd"]
        model.save(update_fields=["sizes", "lengths", "takes", "frame_rates", "qualities"])


class Migration(migrations.Migration):
    dependencies = [("videos", "0016_what_models_take")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
