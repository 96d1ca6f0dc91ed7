"""Plainer names in Python only: the columns keep theirs, so that old and new processes run side by side."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("videos", "0017_what_the_simulator_makes"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(
                    model_name="video",
                    name="due",
                ),
                migrations.RemoveIndex(
                    model_name="delivery",
                    name="deliveries_due",
                ),
                migrations.AlterField(
                    model_name="video",
                    name="moves",
                    field=models.PositiveIntegerField(
                        db_column="moves",
                        default=0,
                        editable=False,
                        help_text="Counts state changes, for optimistic locking.",
                    ),
                ),
                migrations.RenameField(
                    model_name="video",
                    old_name="moves",
                    new_name="version",
                ),
                migrations.AlterField(
                    model_name="video",
                    name="next_at",
                    field=models.DateTimeField(
                        db_column="next_at",
                        default=django.utils.timezone.now,
                        help_text="When the dispatcher looks at it next: schedule and lease in one. Empty: never again.",
                        null=True,
                        verbose_name="due",
                    ),
                ),
                migrations.RenameField(
                    model_name="video",
                    old_name="next_at",
                    new_name="next_attempt_at",
                ),
                migrations.AlterField(
                    model_name="videoevent",
                    name="why",
                    field=models.CharField(
                        blank=True, db_column="why", max_length=200, verbose_name="reason"
                    ),
                ),
                migrations.RenameField(
                    model_name="videoevent",
                    old_name="why",
                    new_name="reason",
                ),
                migrations.AlterField(
                    model_name="delivery",
                    name="next_at",
                    field=models.DateTimeField(
                        db_column="next_at",
                        default=django.utils.timezone.now,
                        help_text="When it is sent next; empty: never again.",
                        null=True,
                        verbose_name="due",
                    ),
                ),
                migrations.RenameField(
                    model_name="delivery",
                    old_name="next_at",
                    new_name="next_attempt_at",
                ),
                migrations.AlterField(
                    model_name="delivery",
                    name="why",
                    field=models.CharField(
                        blank=True, db_column="why", max_length=200, verbose_name="last problem"
                    ),
                ),
                migrations.RenameField(
                    model_name="delivery",
                    old_name="why",
                    new_name="reason",
                ),
                migrations.AlterField(
                    model_name="batch",
                    name="at_once",
                    field=models.PositiveIntegerField(
                        db_column="at_once",
                        help_text="How many of its videos are queued or running at a time.",
                        verbose_name="concurrency",
                    ),
                ),
                migrations.RenameField(
                    model_name="batch",
                    old_name="at_once",
                    new_name="concurrency",
                ),
                migrations.AlterField(
                    model_name="channel",
                    name="most_running",
                    field=models.PositiveIntegerField(
                        blank=True,
                        db_column="most_running",
                        default=5,
                        help_text="Jobs at the provider at a time; the others wait here. Empty: no limit.",
                        null=True,
                        verbose_name="running at once",
                    ),
                ),
                migrations.RenameField(
                    model_name="channel",
                    old_name="most_running",
                    new_name="max_running",
                ),
                migrations.AlterField(
                    model_name="channel",
                    name="most_submits_a_minute",
                    field=models.PositiveIntegerField(
                        blank=True,
                        db_column="most_submits_a_minute",
                        default=20,
                        help_text="Empty: no limit.",
                        null=True,
                        verbose_name="submits a minute",
                    ),
                ),
                migrations.RenameField(
                    model_name="channel",
                    old_name="most_submits_a_minute",
                    new_name="max_submits_per_minute",
                ),
                migrations.AlterField(
                    model_name="channel",
                    name="most_credits_a_day",
                    field=models.PositiveIntegerField(
                        blank=True,
                        db_column="most_credits_a_day",
                        help_text="When today's accepted videos have cost this many credits, the others wait. Empty: no stop.",
                        null=True,
                        verbose_name="credits a day",
                    ),
                ),
                migrations.RenameField(
                    model_name="channel",
                    old_name="most_credits_a_day",
                    new_name="max_credits_per_day",
                ),
                migrations.AddIndex(
                    model_name="video",
                    index=models.Index(
                        condition=models.Q(
                            ("next_attempt_at__isnull", False), models.Q(("status", "queued"), _negated=True)
                        ),
                        fields=["next_attempt_at"],
                        name="due",
                    ),
                ),
                migrations.AddIndex(
                    model_name="delivery",
                    index=models.Index(
                        condition=models.Q(("next_attempt_at__isnull", False)),
                        fields=["next_attempt_at"],
                        name="deliveries_due",
                    ),
                ),
            ],
        ),
    ]
