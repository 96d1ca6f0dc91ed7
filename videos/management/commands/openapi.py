"""Write the committed OpenAPI document, or check that it is up to date."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from videos.api.app import api
from videos.api.openapi import document


class Command(BaseCommand):
    help = f"Write {document.FILE.name}. With --check: fail if the API has changed since it was written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        text = document.text(api)
        if not check:
            document.FILE.write_text(text)
        elif not document.FILE.exists() or document.FILE.read_text() != text:
            raise CommandError(f"{document.FILE.name} is out of date. Run: manage.py openapi")
