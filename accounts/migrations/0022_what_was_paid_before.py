"""What earlier payments must have brought, and returned, by their credits. `reconcile_stripe` asks Stripe for the rest."""

from django.db import migrations


def forwards(apps, schema_editor):
    payments = apps.get_model("accounts", "Payment").objects.using(schema_editor.connection.alias)
    for payment in payments.exclude(paid_at=None).order_by("pk").iterator(chunk_size=1000):
        # The least money whose share of the credits is what was taken back.
        back = -(-payment.price * payment.clawed_back // payment.credits)
        is_disputed = payment.status == "disputed"
        payments.filter(pk=payment.pk).update(
            paid=payment.price,
            paid_currency=payment.currency,
            charged_at=payment.paid_at,
            disputed=back if is_disputed else 0,
            refunded=0 if is_disputed else back,
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0021_what_was_really_paid")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
