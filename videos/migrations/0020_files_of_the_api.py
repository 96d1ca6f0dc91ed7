"""Files of the API."""

from django.db import migrations, models


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
    ]
