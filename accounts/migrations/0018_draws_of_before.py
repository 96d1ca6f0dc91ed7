"""What earlier versions did not write down: how much of a draw came back, and what a claw-back drew.

Draws whose charge may still be refunded, perhaps by a process of the version before, stay without it.
"""

from django.db import migrations
from django.db.models import Sum


def forwards(apps, schema_editor):
    database = schema_editor.connection.alias
    Lot, Draw, Entry = (apps.get_model("accounts", name) for name in ("Lot", "Draw", "CreditEntry"))
    for lot in Lot.objects.using(database).order_by("pk").iterator(chunk_size=1000):
        draws = list(Draw.objects.using(database).filter(lot=lot).select_related("charge").order_by("pk"))
        expired = Entry.objects.using(database).filter(kind="expire", reference=f"lot:{lot.pk}")
        gone = lot.amount - lot.left + (expired.aggregate(n=Sum("amount"))["n"] or 0)
        missing = gone - sum(draw.amount for draw in draws)
        for draw in draws:
            refunds = Entry.objects.using(database).filter(kind="refund", reference=draw.charge.reference)
            if refunds.exists():
                draw.returned = min(draw.amount, max(0, -missing))
                missing += draw.returned
                draw.save(update_fields=["returned"])
        claw_backs = Entry.objects.using(database).filter(kind="claw_back", user_id=lot.user_id, pk__gt=lot.entry_id)
        claw_back = claw_backs.exclude(draws__lot=lot).order_by("-pk").first()
        if missing > 0 and claw_back:
            Draw.objects.using(database).create(lot=lot, charge=claw_back, amount=missing, returned=0)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0017_what_came_back_of_a_draw")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
