import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import User
from aivideo.staff import actions


class Command(BaseCommand):
    help = "Grant credits to the user with this email address."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("amount", type=int, help="credits, at least 1")
        parser.add_argument(
            "--reason", required=True, help="stored in the audit log and in the user's statement"
        )
        parser.add_argument(
            "--create",
            action="store_true",
            help="if nobody has this address: create an account, which whoever first signs in with it takes over",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email, amount, reason = options["email"].strip(), options["amount"], options["reason"].strip()
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email!r} is not a valid email address.") from None
        if not 1 <= amount <= 1_000_000_000:
            raise CommandError("The amount must be a whole number from 1 to 1000000000.")
        if not reason:
            raise CommandError("A grant needs a reason.")
        with transaction.atomic():
            user, is_new = _user(email, may_create=options["create"])
            actions.grant(actions.ActionRequest(None, reason, uuid.uuid4(), note=reason[:200]), user, amount)
        user.refresh_from_db()
        if is_new:
            self.stdout.write(f"Nobody had the address {email}: an account was created for it.")
        self.stdout.write(f"{email} has {user.balance} credits.")


def _user(email: str, *, may_create: bool) -> tuple[User, bool]:
    """The user with this address, and whether they were created now."""
    found = list(User.objects.filter(email__iexact=email)[:2])
    if len(found) > 1:
        raise CommandError(f"Several users have the address {email}. Grant the credits in the admin instead.")
    if found:
        return found[0], False
    if not may_create:
        raise CommandError(
            f"Nobody has the address {email}. If it is right, add --create: whoever first signs in with it gets the credits."
        )
    user = User(username=f"{email.partition('@')[0][:100]}-{uuid.uuid4().hex[:8]}", email=email)
    user.set_unusable_password()
    user.save()
    return user, True
