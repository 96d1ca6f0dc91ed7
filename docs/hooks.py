"""What MkDocs calls while it builds this site: pages made from the code, and the checks that keep the rest true.

A page may hold one of these comments, and the build puts in its place

    <!-- settings -->            the settings, from .env.example
    <!-- api calls -->           the calls of the API, from its OpenAPI document
    <!-- api example NAME -->    the curl example of one call
    <!-- layers -->              the layers inside `videos`, from the contracts of import-linter
    <!-- threat tests -->        the tests of each threat, by the numbers in their names

Everything that the documentation sets in backticks is looked up: paths, `make` targets, management commands, settings
and names in the code. The build is strict, so a warning from here fails it.
"""

import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

log = get_plugin_logger("docs")

ROOT = Path(__file__).resolve().parents[1]
OPENAPI = ROOT / "videos/api/openapi/openapi.json"
# Markdown outside of docs/, whose names and links are held to the same.
OTHER_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "deploy/README.md")

PICTURE = "static/img/studio.webp"
# What files have to end in whose words are looked up, and what makes a word in backticks a path.
TEXTS = (
    ".py",
    ".html",
    ".js",
    ".mjs",
    ".css",
    ".json",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    ".conf",
    ".service",
)
TEXTS_WITHOUT_SUFFIX = ("Makefile", "Dockerfile", ".env.example", ".gitignore")
SUFFIXES = "py|md|html|json|toml|txt|in|yml|yaml|js|css|conf|service|svg|webp|ttf"
# Commands that come with Django.
DJANGO_COMMANDS = {"migrate", "collectstatic", "createsuperuser", "makemigrations", "check", "shell"}


# --- What the code says ---


@cache
def tracked() -> list[str]:
    """Every file of the project, by its path from the top."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return [path for path in listed if path and (ROOT / path).is_file()]


@cache
def words_of_the_code() -> set[str]:
    """Every word in the project outside of its documentation."""
    words: set[str] = set()
    for path in tracked():
        if path.endswith((*TEXTS, *TEXTS_WITHOUT_SUFFIX)) and not path.startswith("docs/"):
            words.update(re.findall(r"\w+", (ROOT / path).read_text(errors="ignore")))
            words.update(Path(path).stem.replace("-", "_").split("_"))
    return words


@cache
def threat_tests() -> dict[str, list[tuple[str, str]]]:
    """The tests of each threat, as (file, name): `test_A01_A02_…` is one of both A01 and A02."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in tracked():
        if Path(path).name.startswith("test_") and path.endswith(".py"):
            for name, numbers in re.findall(
                r"^def (test_((?:A\d\d_)+)\w+)", (ROOT / path).read_text(), re.MULTILINE
            ):
                for number in re.findall(r"A\d\d", numbers):
                    found.setdefault(number, []).append((path, name))
    return found


# --- Pages made from it ---


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """The picture stands once in the project, where the README shows it; the site gets a copy."""
    files.append(File.generated(config, Path(PICTURE).name, abs_src_path=str(ROOT / PICTURE)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    check_names(markdown, page.file.src_uri)
    if "<!-- threat tests -->" in markdown:
        check_threats(markdown)
    made = {
        "<!-- settings -->": settings,
        "<!-- api calls -->": api_calls,
        "<!-- layers -->": layers,
        "<!-- threat tests -->": list_of_threat_tests,
    }
    for comment, make in made.items():
        if comment in markdown:
            markdown = markdown.replace(comment, make())
    markdown = markdown.replace(f"../{PICTURE}", Path(PICTURE).name)
    return re.sub(r"<!-- api example (\w+) -->", lambda found: api_example(found[1]), markdown)


def settings() -> str:
    """`.env.example` as tables, one a section. A setting without a comment of its own shares the one above it."""
    lines: list[str] = []
    comment: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line.startswith("# --- "):
            title, _dot, rest = line.removeprefix("# --- ").partition(". ")
            lines += ["", f"## {title.partition(':')[0].rstrip('.')}", ""]
            intro = f"{title.partition(': ')[2]} {rest}".strip()
            lines += [intro[:1].upper() + intro[1:], ""] if intro else []
            comment = []
            lines += ["| setting | default, or an example | meaning |", "|---|---|---|"]
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif "=" in line:
            name, _equals, default = line.partition("=")
            shown = f"`{default}`" if default else "–"
            lines.append(f"| `{name}` | {shown} | {' '.join(comment).replace('|', '/')} |")
            comment = []
    return "\n".join(lines)


def api_calls() -> str:
    lines = ["| call | what it does |", "|---|---|"]
    for path, operations in json.loads(OPENAPI.read_text())["paths"].items():
        for method, call in operations.items():
            if method != "head":
                about = " ".join(call.get("description", "").split())
                lines.append(f"| `{method.upper()} {path}` | {about} |")
    return "\n".join(lines)


def api_example(name: str) -> str:
    for operations in json.loads(OPENAPI.read_text())["paths"].values():
        for call in operations.values():
            if call["operationId"] == name and "x-codeSamples" in call:
                return f"```sh\n{call['x-codeSamples'][0]['source']}\n```"
    log.warning(f"no call of the API is named {name}")
    return ""


def layers() -> str:
    """One line a layer, the topmost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (inside_videos,) = (one["layers"] for one in contracts if one.get("containers") == ["videos"])
    return "\n".join(f"1. `{layer.replace(' | ', '`, `')}`" for layer in inside_videos)


def list_of_threat_tests() -> str:
    lines = []
    for number, tests in sorted(threat_tests().items()):
        lines += [f"- **{number}**", *(f"    - `{path}` `{name}`" for path, name in sorted(tests))]
    return "\n".join(lines)


# --- Checks ---


def on_pre_build(**_: Any) -> None:
    for name in OTHER_PAGES:
        text = (ROOT / name).read_text()
        check_names(text, name)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if not re.match(r"\w+:", target) and not (ROOT / name).parent.joinpath(target).exists():
                log.warning(f"{name}: links to {target}, which is not there")


def on_post_build(config: Any, **_: Any) -> None:
    """Nothing on a page is loaded from another server."""
    for page in Path(config["site_dir"]).rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text()):
            if re.search(r'(?:src|href)="?(?:https?:)?//', tag) and "canonical" not in tag:
                log.warning(f"{page.name} loads from elsewhere: {tag}")


def check_names(markdown: str, where: str) -> None:
    """Every path, command, setting and name in backticks exists."""
    for fence in re.findall(r"^```.*?^```", markdown, re.MULTILINE | re.DOTALL):
        for line in fence.splitlines():
            if not line.startswith("apt-get"):
                for text in re.findall(r"\b(?:make|manage(?:\.py)?) [a-z_-]+", line):
                    check_command(text, where)
    text = re.sub(r"^```.*?^```|<!--.*?-->", "", markdown, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", text):
        if re.match(r"(make|manage\.py) ", span):
            check_command(span, where)
        elif re.fullmatch(rf"[\w.*-]+(/[\w.*@-]+)*\.({SUFFIXES})|[\w.-]+(/[\w.-]+)*/", span):
            check_path(span, where)
        elif re.fullmatch(r"_*[A-Za-z][\w.]*(\(\))?", span):
            missing = set(re.findall(r"\w+", span)) - words_of_the_code()
            if missing:
                log.warning(f"{where}: `{span}` names nothing in the code ({', '.join(sorted(missing))})")


def check_command(text: str, where: str) -> None:
    program, name = text.split()[:2]
    if program == "make":
        known = re.search(rf"^{re.escape(name)}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None
        known |= "=" in name
    else:
        known = name in DJANGO_COMMANDS or any(
            path.endswith(f"/management/commands/{name}.py") for path in tracked()
        )
    if not known:
        log.warning(f"{where}: `{text}` is no command")


def check_path(span: str, where: str) -> None:
    """A path from the top of the project or, without a folder, the name of any file in it."""
    if re.match(r"[A-Z_]+/|site/", span):  # DATA_DIR/…, or what the build makes
        return
    if "/" not in span and any(Path(path).name == span for path in tracked()):
        return
    beside = (ROOT / where).parent if where in OTHER_PAGES else ROOT
    if not any(ROOT.glob(span.rstrip("/"))) and not any(beside.glob(span.rstrip("/"))):
        log.warning(f"{where}: `{span}` is not there")


def check_threats(markdown: str) -> None:
    """Each threat names exactly the files whose tests carry its number, or other tests, or says that it is open."""
    rows = re.findall(r"^\| (A\d\d) \|.*\| ([^|]*) \|$", markdown, re.MULTILINE)
    for number, tests in threat_tests().items():
        named = set(re.findall(r"`([^`]+\.py)`", dict(rows).get(number, "")))
        carry = {path for path, _name in tests}
        for path in sorted(carry - named):
            log.warning(f"threats.md: {number} does not name {path}, whose tests carry its number")
        for path in sorted(named - carry):
            log.warning(f"threats.md: {number} names {path}, where no test carries its number")
    for number, held in rows:
        if "open" not in held and not re.search(r"`[^`]+\.py`", held):
            log.warning(f"threats.md: {number} neither names a test nor says that it is open")
        if held.startswith("open") and number in threat_tests():
            log.warning(f"threats.md: {number} is said to be open, but has tests")
