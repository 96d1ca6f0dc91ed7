"""Which dispatcher holds a video: it polls a running job without writing to its row in between."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0012_webhook_form_and_limits'),
        ('videos', '0023_index_of_blocked_videos'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='video',
            name='held_by',
            field=models.CharField(blank=True, db_default='', default='', editable=False, help_text='The dispatcher that claimed it last, which alone knows when it polls a running job next.', max_length=100, verbose_name='held by'),
        ),
        migrations.AddIndex(
            model_name='video',
            index=models.Index(condition=models.Q(('ended_at__isnull', True), models.Q(('held_by', ''), _negated=True)), fields=['held_by'], name='held'),
        ),
    ]
