from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("videos", "0009_offers_of_what_there_is")]
    operations = [
        migrations.RemoveField("videomodel", "channel"),
        migrations.RemoveField("videomodel", "provider_model"),
        migrations.RemoveField("videomodel", "cost_a_second"),
        migrations.AddField(
            "videomodel",
            "channels",
            models.ManyToManyField(
                "videos.channel", related_name="video_models", through="videos.Offer", verbose_name="channels"
            ),
        ),
    ]
