"""Grants of earlier versions get their row in the table of staff grants: from now on, each grant has a source."""

from uuid import uuid4

from django.db import migrations
from django.db.models import F, Q


def forwards(apps, schema_editor):
    entries = apps.get_model("accounts", "CreditEntry").objects.using(schema_editor.connection.alias)
    grants = apps.get_model("accounts", "StaffGrant").objects.using(schema_editor.connection.alias)
    has_source = Q(reference__startswith="signup:") | Q(reference__startswith="code:")
    older = entries.filter(kind="grant").exclude(has_source).order_by("pk").annotate(lapses_at=F("lot__expires_at"))
    batch = []
    for entry in older.iterator(chunk_size=1000):
        batch.append(
            grants.model(
                id=uuid4(),
                reference=entry.reference,
                user_id=entry.user_id,
                amount=entry.amount,
                reason="Granted before grants had records of their own.",
                note=entry.note,
                expires_at=entry.lapses_at,
                status="granted",
                created_at=entry.created_at,
            )
        )
        if len(batch) == 1000:
            grants.bulk_create(batch)
            batch.clear()
    grants.bulk_create(batch)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_staff_grants")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
