"""Which channels charge for blocked videos."""

from django.conf import settings
from django.db import migrations, models


def forwards(apps, schema_editor):
    """xAI charges for videos that it moderates."""
    apps.get_model("videos", "Channel").objects.filter(kind="xai").update(charges_for_blocked=True)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0012_webhook_form_and_limits'),
        ('videos', '0021_bad_files'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='channel',
            name='charges_for_blocked',
            field=models.BooleanField(db_default=False, default=False, help_text='The provider charges even for jobs that it accepts and then blocks. Users who cause several of these have to wait before their next video.', verbose_name='charges for blocked videos'),
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop, elidable=True),
    ]
