# The commands of this project. They need only python3 (3.11 or newer), git and make.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= $(CURDIR)/data
export HOST PORT DATA_DIR

VENV := .venv
# Third-party servers and clients for tests are installed here, apart from our own packages.
PEERS ?= $(VENV)
# So are the packages that build the documentation.
DOCS ?= $(VENV)/docs
# And those that look for known vulnerabilities.
AUDIT ?= $(VENV)/audit
BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
MKDOCS = NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --clean

.PHONY: run test quick test-peers check docs bench chaos sabotage requirements sbom audit chromium

run: $(VENV)/installed .env
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) collectstatic --noinput --verbosity 0
	@exec $(MANAGE) serve

# Four processes on two cores: tests that run a whole site wait as long as they compute.
test: $(VENV)/installed-dev $(VENV)/other-clients chromium
	$(BIN)/python -m pytest -n 4 $(ARGS)

# The tests that start neither a process nor a browser, with long random runs shortened. For use while editing.
quick: export QUICK = true
quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 3 -m quick --ignore tests/journeys --ignore tests/installation $(ARGS)

# Tests our adapters, simulator and API against third-party software. OPENAI_OPENAPI: path of OpenAI's OpenAPI document, as JSON.
test-peers: export PEERS := $(abspath $(PEERS))
test-peers: $(VENV)/installed-dev $(PEERS)/litellm/installed $(PEERS)/aimock/installed
	$(BIN)/python -m pytest -rs tests/peers $(ARGS)

# Sets its own settings, so that the result does not depend on .env.
check: export DEBUG = true
check: export SECRET_KEY = for-this-check-only
check: $(VENV)/installed-dev $(DOCS)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files 'templates/*.html')
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(MANAGE) makemigrations --check --dry-run
	$(BIN)/python -m pytest -q -n 0 aivideo/tests/test_migrations.py
	$(MANAGE) openapi --check
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && $(MKDOCS) --site-dir "$$site" && echo "The documentation is well."
	DEBUG=false SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
	  ALLOWED_HOSTS=video.example.com CSRF_TRUSTED_ORIGINS=https://video.example.com \
	  SITE_URL=https://video.example.com $(MANAGE) check --deploy --fail-level WARNING

# Builds the documentation as a site that works offline: site/index.html.
docs: $(DOCS)/installed
	@$(MKDOCS) && echo "Read site/index.html. To search in it: python3 -m http.server --directory site"

# ONLY=name runs one benchmark. Uses SQLite, or a new database on the servers that DATABASE_URL and REDIS_URL name.
bench: $(VENV)/installed $(PEERS)/litellm/installed
	@$(BIN)/python -m bench $(ONLY) $(if $(SEED),--seed $(SEED))

# RUNS=n and SEED=n; more options in chaos/__main__.py. Runs on SQLite, and on a PostgreSQL and Redis that it starts.
chaos: $(VENV)/installed-dev
	@$(BIN)/python -m chaos

# Removes each security check in turn, in a copy, and expects its test to fail. CASES="A25 A40" runs some of them.
sabotage: $(VENV)/installed-dev chromium
	@$(BIN)/python -m tests.sabotage $(CASES)

# Compiles requirements.txt and those of development, documentation and audit, for all platforms. Run it after a change to a .in file.
# It keeps versions that still satisfy them; ARGS=--upgrade or ARGS="--upgrade-package NAME" takes newer ones.
COMPILE = $(VENV)/uv/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make requirements' $(ARGS)

requirements: $(VENV)/uv/installed
	$(COMPILE) --output-file requirements.txt requirements.in
	$(COMPILE) --output-file requirements-dev.txt requirements-dev.in
	$(COMPILE) --output-file requirements-docs.txt requirements-docs.in
	$(COMPILE) --output-file requirements-audit.txt requirements-audit.in

# What the product is made of, as CycloneDX: the Python packages of an installation.
sbom: $(AUDIT)/installed
	@$(AUDIT)/bin/cyclonedx-py requirements --sv 1.6 --of JSON --output-reproducible --output-file sbom.json requirements.txt
	@echo "Written: sbom.json"

# Looks for known vulnerabilities in the packages that are installed, by their versions and hashes. Needs the internet.
audit: $(AUDIT)/installed
	$(AUDIT)/bin/pip-audit --require-hashes --disable-pip -r requirements.txt

$(VENV)/uv/installed: Makefile | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

# The packages are installed if this file is newer than the compiled lists.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

$(VENV)/installed: requirements.txt | $(BIN)/python
	$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements.txt requirements-dev.txt | $(BIN)/python
	$(INSTALL) -r requirements.txt -r requirements-dev.txt
	@touch $@ $(VENV)/installed

# Clients of the API: the oldest Python SDK that has videos, the Python client of MCP and, if npm is installed, the JavaScript
# clients of both, each in its newest version and in an old one.
$(VENV)/other-clients: Makefile | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/openai-2 openai==2.2.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/mcp mcp==2.3.0
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/node \
	    openai@7.57.0 openai-6@npm:openai@6.2.0 @modelcontextprotocol/client@2.4.0 @modelcontextprotocol/sdk@1.32.2; \
	  else echo "npm is not installed: skipping the tests of the API from JavaScript."; fi
	@touch $@

$(AUDIT)/installed: requirements-audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@

$(DOCS)/installed: requirements-docs.txt
	@$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@

# The proxy that `make bench` compares the API with.
$(PEERS)/litellm/installed: Makefile | $(BIN)/python
	$(PYTHON) -m venv $(PEERS)/litellm
	$(PEERS)/litellm/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.0'
	@touch $@

# A mock server of OpenRouter and xAI.
$(PEERS)/aimock/installed: Makefile
	@command -v npm >/dev/null || { echo "aimock needs npm: install Node.js 20 or newer."; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(PEERS)/aimock @copilotkit/aimock@1.43.0
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "aivideo needs Python 3.11 or newer; choose one: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. Install it: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The first start turns on demo mode in .env, so that every later command in this checkout uses it as well.
.env:
	@if [ -z "$$SECRET_KEY" ]; then \
	  umask 077 && printf 'DEBUG=true\nSECRET_KEY=%s\n' \
	    "$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(50))')" > .env; \
	fi

chromium:
	@command -v chromium-headless-shell >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    { apt-get install -y -qq chromium-headless-shell || apt-get install -y -qq chromium; } >/dev/null; } || \
	  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  { echo "The tests need Chromium: apt-get install chromium-headless-shell, or chromium, which is slower"; exit 1; }
