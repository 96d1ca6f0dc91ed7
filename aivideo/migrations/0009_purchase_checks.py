"""Checks of what was bought at the providers. Finance may see them, as it may see those of the ledger."""

import django.utils.timezone
from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations, models


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    # They are made after all migrations, which is too late here.
    create_permissions(installed.get_app_config("aivideo"), verbosity=0, using=database)
    may_see = Permission.objects.using(database).get(
        content_type__app_label="aivideo", codename="view_purchasecheck"
    )
    for group in Group.objects.using(database).filter(name="finance"):
        group.permissions.add(may_see)


class Migration(migrations.Migration):
    dependencies = [("aivideo", "0008_plain_labels")]
    operations = [
        migrations.CreateModel(
            name="PurchaseCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="time")),
                ("channels", models.JSONField(default=list, verbose_name="by channel")),
                ("given_away", models.PositiveIntegerField(default=0, verbose_name="bought and given away")),
                (
                    "given_away_cost",
                    models.DecimalField(
                        decimal_places=4,
                        default=0,
                        help_text="US dollars, as far as known.",
                        max_digits=14,
                        verbose_name="cost of what was given away",
                    ),
                ),
                (
                    "wrong",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Jobs that no video names, and running videos whose job the provider does not list.",
                        verbose_name="discrepancies",
                    ),
                ),
            ],
            options={
                "verbose_name": "purchase check",
                "verbose_name_plural": "purchase checks",
                "ordering": ["-id"],
            },
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
