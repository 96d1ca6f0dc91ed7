"""Our own simulator needs no limits, and finished videos are due never again."""

from django.db import migrations


def forwards(apps, schema_editor):
    apps.get_model("videos", "Channel").objects.filter(slug="simulator").update(
        most_running=None, most_submits_a_minute=None
    )
    apps.get_model("videos", "Video").objects.exclude(ended_at=None).update(next_at=None)


class Migration(migrations.Migration):
    dependencies = [("videos", "0003_pump_whole")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
