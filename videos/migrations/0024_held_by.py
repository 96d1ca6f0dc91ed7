"""Which dispatcher holds a video: it polls a running job without writing to its row in between."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('videos', '0023_index_of_blocked_videos'),
    ]

    operations = [
        migrations.AddField(
            model_name='video',
            name='held_by',
            field=models.CharField(blank=True, db_default='', default='', editable=False, help_text='The dispatcher that claimed it last, which alone knows when it polls a running job next.', max_length=100, verbose_name='held by'),
        ),
    ]
