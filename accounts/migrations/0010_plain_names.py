"""Plainer names in Python only: the columns keep theirs, so that old and new processes run side by side."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_repeats_without_a_key"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(
                    model_name="lot",
                    name="lots_to_spend",
                ),
                migrations.RemoveIndex(
                    model_name="lot",
                    name="lots_to_lapse",
                ),
                migrations.RemoveConstraint(
                    model_name="user",
                    name="what_lapses_is_in_the_balance",
                ),
                migrations.AlterField(
                    model_name="user",
                    name="lapsing",
                    field=models.PositiveBigIntegerField(
                        db_column="lapsing",
                        default=0,
                        editable=False,
                        help_text="Credits of the balance that have an expiry date.",
                        verbose_name="expiring",
                    ),
                ),
                migrations.RenameField(
                    model_name="user",
                    old_name="lapsing",
                    new_name="expiring",
                ),
                migrations.AlterField(
                    model_name="lot",
                    name="lapses_at",
                    field=models.DateTimeField(db_column="lapses_at", verbose_name="expires"),
                ),
                migrations.RenameField(
                    model_name="lot",
                    old_name="lapses_at",
                    new_name="expires_at",
                ),
                migrations.AlterField(
                    model_name="payment",
                    name="why",
                    field=models.CharField(
                        blank=True,
                        db_column="why",
                        help_text="It needs a decision.",
                        max_length=300,
                        verbose_name="reason",
                    ),
                ),
                migrations.RenameField(
                    model_name="payment",
                    old_name="why",
                    new_name="reason",
                ),
                migrations.AlterField(
                    model_name="payment",
                    name="moves",
                    field=models.PositiveIntegerField(db_column="moves", default=0, editable=False),
                ),
                migrations.RenameField(
                    model_name="payment",
                    old_name="moves",
                    new_name="version",
                ),
                migrations.AddIndex(
                    model_name="lot",
                    index=models.Index(
                        condition=models.Q(("left__gt", 0)),
                        fields=["user", "expires_at"],
                        name="lots_to_spend",
                    ),
                ),
                migrations.AddIndex(
                    model_name="lot",
                    index=models.Index(
                        condition=models.Q(("left__gt", 0)), fields=["expires_at"], name="lots_to_lapse"
                    ),
                ),
                migrations.AddConstraint(
                    model_name="user",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("expiring__gte", 0), ("expiring__lte", models.F("balance"))),
                        name="what_lapses_is_in_the_balance",
                    ),
                ),
            ],
        ),
    ]
