"""Create an API key from the command line."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from aivideo.staff import actions


class Command(BaseCommand):
    help = "Create an API key for a user and print it, alone on the last line. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="what the key is for")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        users = User.objects.filter(email__iexact=email)
        if len(users) != 1:
            raise CommandError(
                f"{len(users)} users have the address {email}, but a key needs exactly one. "
                "Have them sign in first, or create the user with `grant_credits --create`."
            )
        request = actions.ActionRequest(None, "manage.py create_api_key", uuid.uuid4())
        text = actions.create_key(request, users[0], name[:60])
        self.stderr.write("Copy the key now: it cannot be shown again.")
        self.stdout.write(text)
