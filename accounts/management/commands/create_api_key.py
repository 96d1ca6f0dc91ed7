"""A key for a program, from the command line."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import api_keys
from accounts.models import User


class Command(BaseCommand):
    help = "Make an API key for a user and print it, once, alone on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="what the key is for")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        users = User.objects.filter(email__iexact=email)
        if len(users) != 1:
            raise CommandError(
                f"{email} belongs to {len(users)} users. A key needs exactly one: "
                "let them sign in first, or make one with `grant_credits`."
            )
        _key, text = api_keys.create(users[0], name[:60])
        self.stderr.write("This is the only time that the key is shown.")
        self.stdout.write(text)
