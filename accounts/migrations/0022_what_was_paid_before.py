"""What earlier payments must have brought, and returned, by their credits. `reconcile_stripe` asks Stripe for the rest."""

from django.db import migrations

# The least money whose share of the credits is what was taken back, from what the row says at this moment.
BACK = "(CAST(price AS bigint) * clawed_back + credits - 1) / credits"
FILL = f"""
    UPDATE accounts_payment SET paid = price, paid_currency = currency, charged_at = paid_at,
        disputed = CASE WHEN status = 'disputed' THEN {BACK} ELSE 0 END,
        refunded = CASE WHEN status = 'disputed' THEN 0 ELSE {BACK} END
    WHERE paid_at IS NOT NULL AND charged_at IS NULL
"""


def forwards(apps, schema_editor):
    schema_editor.execute(FILL)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0021_what_was_really_paid")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
