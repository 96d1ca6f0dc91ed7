"""Files of the API, and prompts of Sora as long as OpenAI's own service took them."""

import django.core.validators
from django.db import migrations, models


def forwards(apps, schema_editor):
    """Where staff have not set a limit of their own."""
    sora = apps.get_model("videos", "VideoModel").objects.filter(slug__in=["sora-2", "sora-2-pro"])
    sora.filter(prompt_limit=None).update(prompt_limit=32_000)


class Migration(migrations.Migration):
    dependencies = [("videos", "0019_plain_labels")]
    operations = [
        migrations.AddField(
            model_name="upload",
            name="bytes",
            field=models.PositiveIntegerField(editable=False, null=True, verbose_name="bytes"),
        ),
        migrations.AddField(
            model_name="upload",
            name="filename",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="As it was sent.",
                max_length=255,
                verbose_name="file name",
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="purpose",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What the program uploaded it for. Empty: it is not a file of the API.",
                max_length=20,
                verbose_name="purpose",
            ),
        ),
        migrations.AlterField(
            model_name="videomodel",
            name="prompt_limit",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Characters. Empty: 4000.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(32000),
                ],
                verbose_name="longest prompt",
            ),
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
