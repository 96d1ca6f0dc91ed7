"""An index of blocked videos.

By itself, because a transaction that locks the tables of channels and videos could deadlock with a running worker.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("videos", "0022_charges_for_blocked")]
    operations = [
        migrations.AddIndex(
            model_name='video',
            index=models.Index(condition=models.Q(('error_code', 'moderation_blocked'), ('status', 'failed')), fields=['channel', 'ended_at'], name='blocked'),
        ),
    ]
