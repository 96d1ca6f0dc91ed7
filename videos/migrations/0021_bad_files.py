"""How many times what was downloaded for a video was no video."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('videos', '0020_files_of_the_api'),
    ]

    operations = [
        migrations.AddField(
            model_name='video',
            name='bad_files',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False, help_text='How many times what was downloaded was no video.', verbose_name='bad files'),
        ),
        migrations.AlterField(
            model_name='video',
            name='queued_at',
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False, help_text='Empty: its batch holds it back, and its patience does not run yet.', null=True, verbose_name='queued'),
        ),
    ]
