"""What earlier versions did not write down: how much of a draw came back, and what a claw-back drew.

Draws whose charge may still be refunded, perhaps by a process of the version before, stay without it. One account after the other
is locked, since processes of the version before may be at work.
"""

from django.db import migrations, transaction
from django.db.models import Sum


def forwards(apps, schema_editor):
    database = schema_editor.connection.alias
    models = [apps.get_model("accounts", name) for name in ("User", "Lot", "Draw", "CreditEntry")]
    users, lots, draws, entries = (model.objects.using(database) for model in models)
    for user in set(lots.values_list("user", flat=True)):
        with transaction.atomic(using=database):
            users.select_for_update(no_key=True).only("pk").get(pk=user)
            for lot in lots.filter(user=user).order_by("pk"):
                _complete(lot, draws, entries)


def _complete(lot, draws, entries):
    expired = entries.filter(kind="expire", reference=f"lot:{lot.pk}").aggregate(n=Sum("amount"))["n"] or 0
    drawn = list(draws.filter(lot=lot).select_related("charge").order_by("pk"))
    missing = lot.amount - lot.left + expired - sum(draw.amount for draw in drawn)
    for draw in drawn:
        if entries.filter(kind="refund", reference=draw.charge.reference).exists():
            draw.returned = min(draw.amount, max(0, -missing))
            missing += draw.returned
            draw.save(update_fields=["returned"])
    claw_backs = entries.filter(kind="claw_back", user=lot.user_id, pk__gt=lot.entry_id).order_by("-pk")
    for claw_back in claw_backs if missing > 0 else ():
        already = draws.filter(charge=claw_back).aggregate(n=Sum("amount"))["n"] or 0
        amount = min(missing, -claw_back.amount - already)
        if amount > 0:
            draws.create(lot=lot, charge=claw_back, amount=amount, returned=0)
            missing -= amount


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0017_what_came_back_of_a_draw")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
