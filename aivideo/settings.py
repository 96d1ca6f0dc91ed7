"""All settings. What differs between installations is read from the environment; see `.env.example`."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv

from aivideo import __version__, env

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(BASE_DIR / env.text("ENV_FILE", ".env"))

# --- Installation --------------------------------------------------------------------------------

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY")
# Former ones: what they have signed is still valid.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
SITE_URL = env.url("SITE_URL")
HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, minimum=1, maximum=65535)
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "data"))).resolve()

env.require(
    "SECRET_KEY", "a long random string that signs sessions. `make run` writes one into .env for you."
)
if not DEBUG:
    for name, keys in (("SECRET_KEY", [SECRET_KEY]), ("SECRET_KEY_FALLBACKS", SECRET_KEY_FALLBACKS)):
        if any(env.can_be_guessed(key) for key in keys if key):
            env.problems.append(
                f"{name} can be guessed: a key needs at least 50 random characters, such as those of `openssl rand -base64 48`."
            )
    env.require("ALLOWED_HOSTS", "the host names that this site serves, separated by commas.")
    env.require(
        "CSRF_TRUSTED_ORIGINS", "the origins that may submit forms, such as https://video.example.com."
    )
    env.require("SITE_URL", "the public address of this site, such as https://video.example.com.")
else:
    ALLOWED_HOSTS = ALLOWED_HOSTS or ["*"]
    SITE_URL = SITE_URL or f"http://{HOST}:{PORT}"

# --- Video providers -----------------------------------------------------------------------------

OPENAI_API_KEY = env.text("OPENAI_API_KEY")
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL")
OPENAI_WEBHOOK_SECRET = env.webhook_secret("OPENAI_WEBHOOK_SECRET")
# Keys of the channels in the initial catalog. Staff may add channels with other variables (see videos/providers/keys.py).
PROVIDER_KEYS = [OPENAI_API_KEY, *map(env.text, ("OPENROUTER_API_KEY", "XAI_API_KEY", "FAL_KEY"))]
USE_MOCK_SORA = env.boolean("USE_MOCK_SORA", not (OPENAI_BASE_URL or any(PROVIDER_KEYS)))
# `manage.py serve` starts the simulator on a free port and writes its address to this file.
SIMULATOR_URL_FILE = DATA_DIR / "simulator.url"
SIMULATOR_URL = env.url(
    "SIMULATOR_URL",
    SIMULATOR_URL_FILE.read_text().strip() if SIMULATOR_URL_FILE.exists() else "http://127.0.0.1:8790/v1",
)
SIMULATOR_SECONDS = env.integer("SIMULATOR_SECONDS", 10, minimum=0, maximum=3600)
# Whether customers may ask the simulator for faults by tags such as [sim:stuck] in a prompt, as staff always may.
SIMULATOR_TAGS = DEBUG
# How many videos of one person may run at once at each channel; the rest wait in the queue.
USER_RUNNING_VIDEOS = env.integer("USER_RUNNING_VIDEOS", 10, minimum=1, maximum=1_000_000)
# From the provider's acceptance on; and how long an order waits for its turn before that.
JOB_DEADLINE_SECONDS = env.integer("JOB_DEADLINE_SECONDS", 1200, minimum=1, maximum=7 * 24 * 3600)
QUEUE_PATIENCE_SECONDS = env.integer("QUEUE_PATIENCE_SECONDS", 3600, minimum=1, maximum=7 * 24 * 3600)

# --- Prompt assistant ----------------------------------------------------------------------------

# The key or the base URL alone turns it on.
PROMPT_HELP_API_KEY = env.text("PROMPT_HELP_API_KEY")
PROMPT_HELP_BASE_URL = env.url("PROMPT_HELP_BASE_URL")
PROMPT_HELP_MODEL = env.text("PROMPT_HELP_MODEL", "gpt-5.4-mini")

# --- Moderation ----------------------------------------------------------------------------------

MODERATION_BASE_URL = env.url("MODERATION_BASE_URL")
MODERATION_API_KEY = env.text("MODERATION_API_KEY")
MODERATION_FAIL_CLOSED = env.boolean("MODERATION_FAIL_CLOSED", True)
SUPPORT_EMAIL = env.text("SUPPORT_EMAIL")
if MODERATION_BASE_URL:
    env.require(
        "MODERATION_API_KEY", "the API key for MODERATION_BASE_URL; any text if that server needs none."
    )
elif not (USE_MOCK_SORA or OPENAI_BASE_URL):
    # Only then is this key certain to be OpenAI's own, and it is sent to nobody else.
    MODERATION_API_KEY = MODERATION_API_KEY or OPENAI_API_KEY

# --- API -----------------------------------------------------------------------------------------

VERSION = __version__  # what the OpenAPI document says
API_REQUESTS_A_MINUTE = env.integer("API_REQUESTS_A_MINUTE", 600, minimum=0, maximum=1_000_000)
# How long the `url` of a video works. Each use of it looks up the video and its owner.
LINK_SECONDS = env.integer("LINK_SECONDS", 24 * 3600, minimum=60, maximum=30 * 24 * 3600)
# Private networks that picture URLs, webhook URLs and channels may point to, besides the public internet.
PRIVATE_NETWORKS_ALLOWED = env.networks("PRIVATE_NETWORKS_ALLOWED")

# --- Credits -------------------------------------------------------------------------------------

SIGNUP_CREDITS = env.integer("SIGNUP_CREDITS", 100, minimum=0, maximum=1_000_000)
VIDEO_CREDITS = env.integer("VIDEO_CREDITS", 10, minimum=0, maximum=1_000_000)
# What a member of staff grants alone, at once and in a day (UTC): beyond it a second one confirms. Credits.
STAFF_GRANT = env.integer("STAFF_GRANT", 1_000, minimum=0, maximum=1_000_000)
STAFF_GRANTS_A_DAY = env.integer("STAFF_GRANTS_A_DAY", 5_000, minimum=0, maximum=1_000_000_000)
# How many trusted reverse proxies are in front of this site; each appends to X-Forwarded-For.
ALLAUTH_TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXIES", 0, minimum=0, maximum=10)
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = env.url("STRIPE_API_BASE")
if bool(STRIPE_SECRET_KEY) != bool(STRIPE_WEBHOOK_SECRET):
    env.problems.append("STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET go together: set both or neither.")
# What Stripe's checkout page does besides: each needs to be set up in its dashboard first.
STRIPE_TAX = env.boolean("STRIPE_TAX", default=False)
STRIPE_TAX_IDS = env.boolean("STRIPE_TAX_IDS", default=False)
STRIPE_INVOICES = env.boolean("STRIPE_INVOICES", default=False)
STRIPE_PROMOTION_CODES = env.boolean("STRIPE_PROMOTION_CODES", default=False)
# A checkout that takes no money, so only with DEBUG.
TEST_CHECKOUT = DEBUG and not STRIPE_SECRET_KEY
TOP_UPS = TEST_CHECKOUT or bool(STRIPE_SECRET_KEY)

# --- Mail ----------------------------------------------------------------------------------------

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = not EMAIL_USE_SSL and env.boolean("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"aivideo@{urlsplit(SITE_URL).hostname or 'localhost'}")
# Without a mail server nothing is sent; the pages show the same information.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'dummy'}.EmailBackend"

# --- Applications --------------------------------------------------------------------------------

GOOGLE_CLIENT_ID = env.text("GOOGLE_CLIENT_ID")
GOOGLE_CLIENT_SECRET = env.text("GOOGLE_CLIENT_SECRET")
GOOGLE_ISSUER = env.url("GOOGLE_ISSUER")
if bool(GOOGLE_CLIENT_ID) != bool(GOOGLE_CLIENT_SECRET):
    env.problems.append("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET go together: set both or neither.")
# Anybody can sign in as the demo user, so only with DEBUG and where no real sign-in is configured.
DEMO_SIGN_IN = DEBUG and not GOOGLE_CLIENT_ID

INSTALLED_APPS = [
    "aivideo",
    "accounts",
    "videos",
    "unfold.apps.BasicAppConfig",
    "aivideo.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    *(["allauth.socialaccount.providers.dummy"] if DEMO_SIGN_IN else []),
    "django_q",
]

MIDDLEWARE = [
    "aivideo.request_id.RequestIdMiddleware",
    "videos.api.middleware.ApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "aivideo.middleware.PageHeaders",
    "aivideo.middleware.ContentSecurityPolicy",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "videos.api.middleware.WrongBaseUrl",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "aivideo.middleware.LoginRequired",
    "aivideo.middleware.SpendableBalance",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "aivideo.middleware.PrivatePages",
    "aivideo.middleware.BodyLimit",
]

# For requests of the API, in place of what follows ApiMiddleware above. What guards pages before their views belongs in both.
API_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "aivideo.middleware.BodyLimit",
]

ROOT_URLCONF = "aivideo.urls"
WSGI_APPLICATION = "aivideo.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aivideo.context_processors.site",
            ],
        },
    },
]

# --- Database, queue, cache ----------------------------------------------------------------------

DATABASE_URL = env.url("DATABASE_URL", schemes=("postgres", "postgresql", "sqlite"))
if DATABASE_URL and not DATABASE_URL.startswith("sqlite"):
    # Persistent connections, one per thread: opening one for each request cuts throughput to a fifteenth.
    # A pool (psycopg_pool) is no faster, and worse in an outage: the queue forks its workers from a process
    # that has used the pool, so they would share its sockets; and after a restart of PostgreSQL the pool
    # retries its dead connections one by one with growing delays.
    DATABASES = {
        "default": dj_database_url.parse(
            DATABASE_URL, engine="aivideo.postgresql", conn_max_age=600, conn_health_checks=True
        )
    }
    # For aivideo.postgresql's prepared_cursor(). Django's own cursors prepare nothing.
    OPTIONS = DATABASES["default"].setdefault("OPTIONS", {})
    OPTIONS.setdefault("prepare_threshold", 5)
    # A server whose machine is gone is given up within 20 seconds, instead of a quarter of an hour.
    for name, value in {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,  # milliseconds
    }.items():
        OPTIONS.setdefault(name, value)
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATABASE_URL.removeprefix("sqlite:///") or str(DATA_DIR / "db.sqlite3"),
            # Persistent for the same reason as above; a file needs no health check.
            "CONN_MAX_AGE": None,
            # A file in tests as well: as in production, several processes and threads share it.
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
            "OPTIONS": {
                # A deferred transaction that reads and then writes fails at once with "database is locked"
                # if another one has written in between; an immediate one waits for the lock.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # FULL: a committed transaction survives a power failure.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
            },
        }
    }
# For PostgreSQL: how long a statement waits for a row that another session has locked, and how long a session may hold
# its locks without a statement.
DATABASE_LOCK_SECONDS = env.integer("DATABASE_LOCK_SECONDS", 5, minimum=1, maximum=600)
DATABASE_IDLE_SECONDS = env.integer("DATABASE_IDLE_SECONDS", 60, minimum=10, maximum=3600)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss", "unix"))
# The default one counts what all processes have to count together, such as requests a minute. Nothing of `local` matters to others.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "aivideo.file_cache.FileCache", "LOCATION": str(DATA_DIR / "cache.sqlite3")},
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# Two clusters, both started by `manage.py videoworker`: `dispatch` makes videos, the default one does everything else.
# Tested with kill -9 at every step. Messages only wake a worker, so losing one is harmless (max_attempts=1),
# and a message must not be delivered again while its task still runs (retry > timeout).
Q_CLUSTER: dict[str, Any] = {
    "name": "aivideo",
    "workers": 2,
    # Each guard cycle writes to the cache. Running half as often halves what an idle worker costs.
    "guard_cycle": 1,
    "cache": "default" if REDIS_URL else "local",
    "queue_limit": 4,
    "bulk": 20,
    "save_limit": -1,
    "timeout": 300,
    "retry": 600,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "label": "Queue",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
    "ALT_CLUSTERS": {
        "dispatch": {
            # One more than there may be dispatchers, so that a successor can start while its predecessor ends.
            "workers": 3 if "postgres" in DATABASES["default"]["ENGINE"] else 2,
            # A dispatcher runs as long as it is healthy. The supervisor notices when it is not.
            "timeout": 24 * 3600,
            "retry": 48 * 3600,
            "scheduler": False,
        }
    },
}

# --- Sign-in -------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_FAILURE_VIEW = "aivideo.errors.csrf_failure"

ACCOUNT_ADAPTER = "accounts.sign_in.AccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
# A Google account is identified by its `sub`. An email address can pass to somebody else, so it neither
# identifies nor links accounts, and two accounts may have the same one. The exception is an account that an operator created for an
# address and that nobody has used: see accounts/sign_in.py.
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_LOGIN_METHODS = {"username"}
# allauth asks for a password at sign-in only if sign-up has one. Nobody can sign up with it (see the adapter).
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
# Wrong passwords: per IP address, and per user name from any address.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
# A session opened with a password ends when the browser closes.
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS = {
    "google": {
        "APPS": [{"client_id": GOOGLE_CLIENT_ID, "secret": GOOGLE_CLIENT_SECRET}] if GOOGLE_CLIENT_ID else [],
        "SCOPE": ["openid", "email", "profile"],
        "AUTH_PARAMS": {"prompt": "select_account"},
        "OAUTH_PKCE_ENABLED": True,
        **(
            {
                "AUTHORIZE_URL": f"{GOOGLE_ISSUER}/oauth2/authorize",
                "ACCESS_TOKEN_URL": f"{GOOGLE_ISSUER}/oauth2/token",
                "IDENTITY_URL": f"{GOOGLE_ISSUER}/userinfo",
                "CERTS_URL": f"{GOOGLE_ISSUER}/jwks",
                "ID_TOKEN_ISSUER": GOOGLE_ISSUER,
            }
            if GOOGLE_ISSUER
            else {}
        ),
    },
}

# Staff can move credits, so they need a second factor.
STAFF_SECOND_FACTOR = not DEBUG
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "aivideo"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEBUG

# --- Admin ---------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "aivideo",
    "SITE_HEADER": "aivideo",
    "SITE_ICON": lambda request: static("img/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/favicon.svg")}
    ],
    "STYLES": [lambda request: static("css/staff.css")],
    "DASHBOARD_CALLBACK": "aivideo.staff.dashboard.callback",
    "SIDEBAR": {"show_search": True, "navigation": "aivideo.staff.site.navigation"},
}

# --- Files ---------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = DATA_DIR / "media"  # no URL: every file is served by a view that checks its owner
# The internal location under which nginx serves MEDIA_ROOT; if set, nginx sends the files itself.
X_ACCEL_PREFIX = env.matching("X_ACCEL_PREFIX", r"/([\w-]+/)+", "a path such as /protected/")

AWS_STORAGE_BUCKET_NAME = env.matching(
    "AWS_STORAGE_BUCKET_NAME",
    r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "a bucket name: 3 to 63 lowercase letters, digits and hyphens",
)
AWS_S3_ENDPOINT_URL = env.url("AWS_S3_ENDPOINT_URL")
AWS_S3_REGION_NAME = env.matching("AWS_S3_REGION_NAME", r"[a-z0-9-]+", "a region such as eu-central-1")
AWS_ACCESS_KEY_ID = env.text("AWS_ACCESS_KEY_ID")
AWS_SECRET_ACCESS_KEY = env.text("AWS_SECRET_ACCESS_KEY")
BUCKET_ORIGINS = []
if AWS_S3_ENDPOINT_URL:
    env.require("AWS_STORAGE_BUCKET_NAME", "the bucket at AWS_S3_ENDPOINT_URL that stores the files.")
    env.require("AWS_ACCESS_KEY_ID", "the access key for the bucket at AWS_S3_ENDPOINT_URL.")
    env.require("AWS_SECRET_ACCESS_KEY", "the secret key for AWS_ACCESS_KEY_ID.")
    # An S3 signature includes a region even if the store has none.
    AWS_S3_REGION_NAME = AWS_S3_REGION_NAME or "us-east-1"
    BUCKET_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(AWS_S3_ENDPOINT_URL))]
elif AWS_STORAGE_BUCKET_NAME:
    env.require("AWS_S3_REGION_NAME", "the bucket's AWS region; for another store, set AWS_S3_ENDPOINT_URL.")
    if bool(AWS_ACCESS_KEY_ID) != bool(AWS_SECRET_ACCESS_KEY):
        env.problems.append("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: set both or neither.")
    BUCKET_ORIGINS = [f"https://{AWS_STORAGE_BUCKET_NAME}.s3.{AWS_S3_REGION_NAME}.amazonaws.com"]

STORAGES = {
    "default": {
        "BACKEND": "videos.media.object_store.ObjectStore"
        if AWS_STORAGE_BUCKET_NAME
        else "django.core.files.storage.FileSystemStorage"
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Limits a form without its files; aivideo.middleware.BodyLimit limits the whole request.
# Generous, so that a prompt that is far too long gets the form's own error and is not lost.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100

# --- Language and time ---------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

# --- Security ------------------------------------------------------------------------------------

SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Both concern all names below the site's host, also those of other services.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.boolean("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # which want both
if not DEBUG:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = SITE_URL.startswith("https://")
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
    if SESSION_COOKIE_SECURE:
        # Browsers take a cookie with this prefix from this host only, and only by https: no neighboring name can set one.
        SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"

CONTENT_SECURITY_POLICY = {
    # What these answer is no page.
    "EXCLUDE_URL_PREFIXES": ("/v1/", "/api/v1/", "/api/video-generation/", "/mcp"),
    # The admin needs more: see aivideo/staff/site.py.
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:", *BUCKET_ORIGINS],
        "media-src": ["'self'", *BUCKET_ORIGINS],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        # form-action also covers the redirect that answers the sign-in form.
        "form-action": [
            "'self'",
            GOOGLE_ISSUER or "https://accounts.google.com",
            *(["https://checkout.stripe.com", "https://billing.stripe.com"] if STRIPE_SECRET_KEY else []),
        ],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "report-uri": ["/csp-report/"],
    },
}

# --- Logs ----------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "aivideo.request_id.RequestIdFilter"}},
    "formatters": {"line": {"format": "{asctime} {request_id} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": "line"}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        "django-q": {"level": "WARNING"},
        # A line for each poll of each job would bury everything else.
        "httpx2": {"level": "WARNING"},
        "httpcore2": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
    },
}

# No channel may use one of these variables as its API key (see videos/providers/keys.py).
SETTING_NAMES = frozenset(env.names)

env.exit_if_invalid()
DATA_DIR.mkdir(parents=True, exist_ok=True)
