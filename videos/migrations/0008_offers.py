from django.core.validators import MinValueValidator
from django.db import migrations, models

import videos.providers


class Migration(migrations.Migration):
    dependencies = [("videos", "0007_programs_and_batches")]
    operations = [
        migrations.AlterField(
            "channel",
            "kind",
            models.CharField(
                choices=videos.providers.kinds, default="openai", max_length=20, verbose_name="protocol"
            ),
        ),
        migrations.AlterField(
            "channel",
            "base_url",
            models.URLField(
                blank=True,
                help_text="Of /v1/videos servers, it ends in /v1. Empty: the provider's own, or what the settings say.",
                verbose_name="base URL",
            ),
        ),
        migrations.AddField(
            "video",
            "provider_model",
            models.CharField(
                blank=True,
                default="",
                help_text="What its channel calls the model.",
                max_length=100,
                verbose_name="the provider's name",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "videomodel",
            "successor",
            models.ForeignKey(
                "videos.videomodel",
                models.SET_NULL,
                null=True,
                blank=True,
                related_name="+",
                help_text="Named to who asks for a retired model, and taken where an old video is made again.",
                verbose_name="successor",
            ),
        ),
        migrations.CreateModel(
            "Offer",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        "videos.videomodel", models.CASCADE, related_name="offers", verbose_name="model"
                    ),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        "videos.channel", models.PROTECT, related_name="offers", verbose_name="channel"
                    ),
                ),
                ("provider_model", models.CharField(max_length=100, verbose_name="the provider's name")),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="The lowest is asked first, the next when that cannot be reached.",
                        verbose_name="priority",
                    ),
                ),
                (
                    "cost_a_second",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="US dollars that the provider takes for each second of video. Empty: unknown, counted as 0.",
                        max_digits=8,
                        null=True,
                        validators=[MinValueValidator(0)],
                        verbose_name="cost a second",
                    ),
                ),
            ],
            {"verbose_name": "offer", "verbose_name_plural": "offers", "ordering": ["priority", "id"]},
        ),
        migrations.AddConstraint(
            "offer", models.UniqueConstraint(fields=["model", "channel"], name="one_offer_a_channel")
        ),
    ]
