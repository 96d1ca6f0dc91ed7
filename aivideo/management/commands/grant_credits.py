import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts import credits
from accounts.models import User


class Command(BaseCommand):
    help = "Grant credits to the user with this email address. Creates the user if there is none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("amount", type=int, help="credits, at least 1")
        parser.add_argument(
            "--reason", required=True, help="stored in the ledger; the user sees it in the statement"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email, amount = options["email"].strip(), options["amount"]
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email!r} is not a valid email address.") from None
        if not 1 <= amount <= 1_000_000_000:
            raise CommandError("The amount must be a whole number from 1 to 1000000000.")
        with transaction.atomic():
            user = _user(email)
            credits.grant(user, amount, reference=f"staff:{uuid.uuid4()}", note=options["reason"][:200])
        user.refresh_from_db()
        self.stdout.write(f"{email} has {user.balance} credits.")


def _user(email: str) -> User:
    found = list(User.objects.filter(email__iexact=email)[:2])
    if len(found) > 1:
        raise CommandError(f"Several users have the address {email}. Grant the credits in the admin instead.")
    if found:
        return found[0]
    user = User(username=f"{email.partition('@')[0][:100]}-{uuid.uuid4().hex[:8]}", email=email)
    user.set_unusable_password()
    user.save()
    return user
