"""Every setting, read from the environment once, in one file.

``TOLLGATE_MODE`` says which house this is. ``embedded`` (what ``manage.py up`` and the other commands run) is a real
single-machine installation that keeps its database and secrets under ``var/``. ``production`` (any other server start)
trusts nothing it was not told and refuses weak settings with one sentence. ``test`` is for the suite. Differences
between places are environment, never another file; ``.env`` beside ``manage.py`` is read first, the environment wins.
"""

import ipaddress
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import installation

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(BASE_DIR / ".env")


class Environment(environ.Env):
    """The environment, where a value of the wrong kind is one sentence that names the setting."""

    def get_value(self, var: str, *how: Any, **kind: Any) -> Any:
        """Read a value as what it should be."""
        try:
            return super().get_value(var, *how, **kind)
        except ValueError as error:
            message = f"{var} cannot be read: {error}"
            raise ImproperlyConfigured(message) from error


env = Environment()

# --- Mode -------------------------------------------------------------------------------------------------------------

MODE = env.str("TOLLGATE_MODE", "production")
if MODE not in {"embedded", "production", "test"}:
    message = f"TOLLGATE_MODE is {MODE!r}; it must be embedded, production or test"
    raise ImproperlyConfigured(message)
PRODUCTION = MODE == "production"
SANDBOX = not PRODUCTION  # the two sandboxes and the TEST key exist outside production only
DEBUG = env.bool("DEBUG", False)
VERSION = "0.1.0"


def refuse(setting: str, why: str) -> None:
    """Stop a production start with one sentence that names the setting."""
    message = f"{setting} {why}"
    raise ImproperlyConfigured(message)


def secret(setting: str, kept_as: str) -> str:
    """A secret of the installation: from the environment, or (outside production) made once and kept under var/."""
    value: str = env.str(setting, "").strip()
    if PRODUCTION:
        if not value:
            refuse(
                setting, "is not set; production needs a secret of its own (manage.py new_secrets prints a fresh set)"
            )
        if weak(value):
            refuse(setting, "is too weak or a placeholder; use at least 32 random characters")
        return value
    return value or installation.kept_secret(DATA_DIR, kept_as)


def secrets_of(setting: str, kept_as: str) -> list[str]:
    """Several secrets, newest first and separated by commas; each has to be as good as one alone."""
    several = [part.strip() for part in secret(setting, kept_as).split(",")]
    if PRODUCTION and any(weak(part) for part in several):
        refuse(
            setting, "holds an empty, weak or placeholder secret between its commas; each needs 32 random characters"
        )
    return several


def weak(value: str) -> bool:
    """Whether a secret could be guessed or was left as it came."""
    placeholders = ("change", "default", "insecure", "secret", "test", "example")
    return len(value) < 32 or len(set(value)) < 8 or value.lower().startswith(placeholders)


DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var")))
if not PRODUCTION:
    installation.data_folder(DATA_DIR)
if PRODUCTION and DEBUG:
    refuse("DEBUG", "is on; production never shows its inside to strangers, switch it off")

# --- Secrets ----------------------------------------------------------------------------------------------------------

SECRET_KEY = secret("SECRET_KEY", "secret_key")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# Newest first, comma separated: for hashes of API keys, and the seal on credentials. Older ones stay until rotated out.
API_KEY_PEPPERS = secrets_of("API_KEY_PEPPERS", "api_key_pepper")
ENCRYPTION_KEYS = secrets_of("ENCRYPTION_KEYS", "encryption_key")
# What our own gateway shows the sandbox provider, which is mounted outside production only.
SANDBOX_PROVIDER_KEY = installation.kept_secret(DATA_DIR, "sandbox_provider_key") if SANDBOX else ""
# The same for the payment sandbox: the secret key it accepts from us, and the secret it signs its webhooks with.
SANDBOX_STRIPE_KEY = f"sk_test_{installation.kept_secret(DATA_DIR, 'sandbox_stripe_key')}" if SANDBOX else ""
SANDBOX_STRIPE_WEBHOOK_SECRET = (
    f"whsec_{installation.kept_secret(DATA_DIR, 'sandbox_stripe_webhook_secret')}" if SANDBOX else ""
)

# --- Hosts and proxies ------------------------------------------------------------------------------------------------

# The installation's own hosts. Storefronts bring theirs as rows; accounts.access decides and answers 421 to the rest,
# so Django's own list stays open.
PLATFORM_HOSTS = env.list("PLATFORM_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
if PRODUCTION and (not PLATFORM_HOSTS or any("*" in host or "/" in host or host[:1] == "." for host in PLATFORM_HOSTS)):
    refuse("PLATFORM_HOSTS", "must name this installation's own hosts, without wildcard or scheme: gate.example.com")
ALLOWED_HOSTS = ["*"]
PUBLIC_SCHEME = env.str("PUBLIC_SCHEME", "https" if PRODUCTION else "http")
PUBLIC_PORT = env.int("PUBLIC_PORT", 0)  # appended to links when it is not the scheme's own
# Only these may tell us a client's address (X-Forwarded-For) and country (COUNTRY_HEADER).
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", cast=ipaddress.ip_network, default=[])
COUNTRY_HEADER = env.str("COUNTRY_HEADER", "")
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/(api|v1|v1beta|ai-proxy|models|user)/"
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "user-agent", "x-csrftoken", "x-requested-with"),
    *("x-api-key", "x-goog-api-key", "x-goog-api-client", "anthropic-version", "anthropic-beta"),
    *("anthropic-dangerous-direct-browser-access", "openai-beta", "openai-organization", "openai-project"),
    *("idempotency-key", "x-max-cost", "x-request-id"),
    *(f"x-stainless-{name}" for name in ("arch", "lang", "os", "package-version", "retry-count", "runtime")),
    *("x-stainless-runtime-version", "x-stainless-timeout", "x-stainless-helper-method"),
]
CORS_EXPOSE_HEADERS = ["x-request-id", "x-call-id", "x-charge-usd", "x-output-limit", "retry-after"]
# Hot calls skip Django's middlewares; without this door they take the canonical one, slower and the same.
EXPRESS_DOOR = env.bool("EXPRESS_DOOR", True)

# --- Rooms ------------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "desk.apps.DeskConfig",
    "dashboard.apps.DashboardConfig",
    "analytics.apps.AnalyticsConfig",
    "gateway.apps.GatewayConfig",
    "billing.apps.BillingConfig",
    "accounts.apps.AccountsConfig",
    "plumbing.apps.PlumbingConfig",
    *(["sandbox.apps.SandboxConfig"] if SANDBOX else []),
    "unfold.apps.BasicAppConfig",  # the theme alone; the site is ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "desk.apps.OperatorsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.google",
    "allauth.usersessions",
    "corsheaders",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]

MIDDLEWARE = [
    "plumbing.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "plumbing.compression.PageCompressionMiddleware",
    "config.health.ProbeMiddleware",
    "accounts.middleware.StorefrontMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SessionNoteMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.SeatMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.storefront",
            ],
            "builtins": ["dashboard.templatetags.parts"],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.DjangoTemplates"

# --- Database and cache -----------------------------------------------------------------------------------------------

_embedded_database = f"sqlite:///{DATA_DIR / env.str('DB_NAME', 'tollgate.db')}"
if PRODUCTION and not env.str("DATABASE_URL", ""):
    refuse("DATABASE_URL", "is not set; production keeps its books in PostgreSQL: postgres://user:password@host/name")
DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL", default=_embedded_database)}
if "ENGINE" not in DATABASES["default"]:
    refuse("DATABASE_URL", "is not the address of a database: postgres://user:password@host/name")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.db"}  # a file, as in life: threads share it, tests copy it
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    # A request has a thread of its own, which ends with it: what should outlive it is kept by a pool. When the database
    # is away, a request hears so after a moment, and the next one tries anew.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 1,
        "max_size": env.int("DATABASE_POOL_SIZE", 16),
        "timeout": env.float("DATABASE_POOL_WAIT_S", 3.0),
        "reconnect_timeout": 2,
    }

_redis_host = env.str("REDIS_HOST", "")
_redis_password = env.str("REDIS_PASSWORD", "")
_redis_login = f":{_redis_password}@" if _redis_password else ""
REDIS_URL = env.str("REDIS_URL", f"redis://{_redis_login}{_redis_host}:6379/0" if _redis_host else "")
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "tollgate",
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 1)
if PRODUCTION and not REDIS_URL and WEB_CONCURRENCY > 1:
    refuse("REDIS_URL", "is not set and WEB_CONCURRENCY is above 1; limits of several processes need Redis")

# --- Background -------------------------------------------------------------------------------------------------------

# Redis on a socket file has another name in the queue's library.
_broker = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", _broker or "memory://localhost/")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "tollgate"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # its lines go through plumbing.logs like all others
if CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2}  # a broker that is down must not hold up a request
CELERY_BEAT_SCHEDULER = "plumbing.beat:LeasedScheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep the outbox": {"task": "plumbing.sweep_outbox", "schedule": 10.0, "options": {"expires": 10}},
    "forget what the outbox did": {"task": "plumbing.forget_outbox", "schedule": 3600.0, "options": {"expires": 3600}},
    "sweep holds of the dead": {"task": "billing.sweep_holds", "schedule": 10.0, "options": {"expires": 10}},
    "let grants lapse": {"task": "billing.lapse_grants", "schedule": 60.0, "options": {"expires": 60}},
    "make the months of calls ahead": {"task": "gateway.make_months", "schedule": crontab(hour="2", minute="10")},
    "forget idempotency keys": {"task": "gateway.forget_claims", "schedule": 3600.0, "options": {"expires": 3600}},
    "roll up calls": {"task": "analytics.roll_up", "schedule": 60.0, "options": {"expires": 60}},
    "mend rollups": {"task": "analytics.mend_rollups", "schedule": crontab(hour="2", minute="40")},
    "look for alarms": {"task": "analytics.look_for_alarms", "schedule": 300.0, "options": {"expires": 300}},
    "warn customers": {"task": "dashboard.look_for_alerts", "schedule": 60.0, "options": {"expires": 60}},
    "mail reports": {"task": "desk.send_reports", "schedule": crontab(minute="20"), "options": {"expires": 3000}},
    "add up statements": {"task": "analytics.fold_all_statements", "schedule": crontab(hour="1", minute="20")},
    "archive old calls": {"task": "analytics.archive_old_calls", "schedule": crontab(hour="4", minute="10")},
    "ask for prices": {"task": "gateway.refresh_prices", "schedule": crontab(hour="4", minute="40")},
    "recharge who runs low": {"task": "billing.recharge_due", "schedule": 15.0, "options": {"expires": 15}},
    "find what webhooks missed": {
        "task": "billing.reconcile_payments",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "prove the books": {"task": "billing.prove_books", "schedule": 300.0, "options": {"expires": 300}},
    "prove all the books": {
        "task": "billing.prove_books",
        "schedule": crontab(hour="3", minute="20"),
        "kwargs": {"full": True},
        "options": {"expires": 3600},
    },
}

# --- What happened ----------------------------------------------------------------------------------------------------

# Whole months of calls that stay in the database before they go to a file in ARCHIVE_DIR; 0 keeps all of them.
CALLS_KEPT_MONTHS = env.int("CALLS_KEPT_MONTHS", 0)
ARCHIVE_DIR = env.str("ARCHIVE_DIR", str(DATA_DIR / "archive"))
# Who is told when money is about to be lost, and the margin (per cent of the price) below which it is.
ALARM_EMAILS = env.list("ALARM_EMAILS", default=[])
ALARM_WEBHOOK_URL = env.str("ALARM_WEBHOOK_URL", "")
ALARM_WEBHOOK_SECRET = env.str("ALARM_WEBHOOK_SECRET", "")
if ALARM_WEBHOOK_URL and not ALARM_WEBHOOK_SECRET:
    refuse(
        "ALARM_WEBHOOK_SECRET", "is not set, and ALARM_WEBHOOK_URL is; alarms are signed, or nobody could believe them"
    )
MARGIN_FLOOR_PERCENT = env.int("MARGIN_FLOOR_PERCENT", 5)
PRICE_NOTICE_DAYS = env.int("PRICE_NOTICE_DAYS", 0)

# --- People -----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if MODE == "test":  # made-up people sign in thousands of times; a slow hash would only slow the proof
    PASSWORD_HASHERS.insert(0, "django.contrib.auth.hashers.MD5PasswordHasher")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/app/"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.signup.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_CHANGE = False  # allauth offers it to new people alone, which tells who is known
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = PUBLIC_SCHEME
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "confirm_email": "1/10s/key,20/h/key",  # whoever signs up with somebody else's mailbox cannot flood it
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "reauthenticate": "10/m/user",
    "change_phone": "1/m/user",
    "verify_phone": "10/m/user",
    "request_login_code": "20/m/ip,3/m/key",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = False
MFA_TOTP_ISSUER = "Tollgate"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
SOCIALACCOUNT_ADAPTER = "accounts.signup.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # linking needs a signed-in session of the account it joins
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = {
    name: {"APP": {"client_id": client_id, "secret": env.str(f"{name.upper()}_CLIENT_SECRET", "")}}
    for name in ("github", "google")
    if (client_id := env.str(f"{name.upper()}_CLIENT_ID", ""))
}
SIGN_IN_HOSTS = {"github": "https://github.com", "google": "https://accounts.google.com"}
USERSESSIONS_ADAPTER = "accounts.acts.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = True

SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_NAME = "tollgate_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = PUBLIC_SCHEME == "https"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
CSRF_COOKIE_NAME = "tollgate_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = PUBLIC_SCHEME == "https"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
SECURE_SSL_REDIRECT = False  # the proxy in front does that; a gateway never redirects a secret
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31_536_000 if PUBLIC_SCHEME == "https" else 0
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576  # pages and the management API; the gateway has its own cap
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

PAYMENT_PAGES = ("https://checkout.stripe.com", "https://billing.stripe.com")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        # A browser checks where a form's answer redirects to as well, so the chosen ways to sign in are named.
        "form-action": [SELF, *PAYMENT_PAGES, *(SIGN_IN_HOSTS[name] for name in SOCIALACCOUNT_PROVIDERS)],
        "frame-ancestors": [NONE],
    },
}

# --- Operators' desk --------------------------------------------------------------------------------------------------

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Tollgate desk",
    "SITE_HEADER": "Tollgate",
    "SITE_SUBHEADER": "Operators' desk",
    "SITE_SYMBOL": "toll",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/favicon.svg"}],
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["desk.site.stylesheet"],
    "SCRIPTS": ["desk.site.labels"],
    "DASHBOARD_CALLBACK": "desk.front.figures",
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "desk.navigation.sidebar"},
    "COMMAND": {"search_models": True, "show_history": False},
}

# --- Management API ---------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.KeyAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "plumbing.pagination.CursorPagination",
    "DEFAULT_PARSER_CLASSES": ["plumbing.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "plumbing.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_THROTTLE_RATES": {
        "management": "600/min",
        "tenant": "1200/min",
        "address": "1200/min",
        "register": "20/hour",
    },
    "URL_FORMAT_OVERRIDE": None,
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tollgate API",
    "DESCRIPTION": "Calls to models with an inference key; organizations, members, invitations and keys with a session"
    " or a management key.",
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "inferenceKey": {
                "type": "http",
                "scheme": "bearer",
                "description": "An inference key. `X-API-Key` and `x-goog-api-key` are read as well.",
            },
            "operatorKey": {"type": "http", "scheme": "bearer", "description": "An operator key."},
        }
    },
    "VERSION": VERSION,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [],  # enums stand where they are used
    "PATH_CONVERTER_OVERRIDES": {"public_id": {"type": "string", "pattern": "^[a-z]{2,5}_[0-9a-z]{20}$"}},
}

# --- Mail and notices -------------------------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Tollgate <no-reply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = 10  # seconds; a mail server that hangs must not keep a worker
if _email_url := env.str("EMAIL_URL", ""):
    vars().update(env.email_url_config(_email_url))
elif PRODUCTION:
    refuse("EMAIL_URL", "is not set; sign-up needs mail: smtp+tls://user:password@mail.example.com:587")
else:
    EMAIL_BACKEND = "plumbing.mailbox.MailboxBackend"  # letters are kept under var/mail and shown at /mailbox
# Customers' webhooks go to public https addresses only; a closed installation may open its own network to them.
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.bool("WEBHOOKS_TO_PRIVATE_ADDRESSES", False)

# --- Words, static files, logs ----------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / "staticfiles"))) if PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = not PRODUCTION  # no collected folder to look into outside production
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING_CONFIG = "plumbing.logs.configure"
LOGGING = {"level": LOG_LEVEL, "json": PRODUCTION}
METRICS_TOKEN = env.str("METRICS_TOKEN", "")  # empty: /metrics answers 404
SENTRY_DSN = env.str("SENTRY_DSN", "")

# --- What other rooms read --------------------------------------------------------------------------------------------

# Leaked-key reports are verified against this key (PEM, ECDSA P-256, GitHub's format); empty: the endpoint answers 503.
SECRET_SCANNING_PUBLIC_KEY = env.str("SECRET_SCANNING_PUBLIC_KEY", "", multiline=True)
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", "")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", "")
if PRODUCTION and STRIPE_SECRET_KEY and not STRIPE_WEBHOOK_SECRET.strip():
    refuse("STRIPE_WEBHOOK_SECRET", "is empty while STRIPE_SECRET_KEY is set; unsigned webhooks are never believed")
# Up to this many USD one operator gives or takes credit alone; above it a second one has to agree.
CREDIT_LIMIT_ALONE_NANO = env.int("CREDIT_LIMIT_ALONE_USD", 10_000) * 1_000_000_000
# Keys for the catalogue's own accounts, by slug, taken up at every start; further accounts and keys are rows.
PROVIDER_KEYS = {
    slug: key
    for slug, name in {
        "openai": "OPENAI_API_KEY",
        "anthropic": "ANTHROPIC_API_KEY",
        "google": "GOOGLE_API_KEY",
        "openrouter": "OPENROUTER_API_KEY",
        "xai": "XAI_API_KEY",
        "mistral": "MISTRAL_API_KEY",
        "cohere": "COHERE_API_KEY",
        "cohere-rerank": "COHERE_API_KEY",
        "deepseek": "DEEPSEEK_API_KEY",
        "groq": "GROQ_API_KEY",
        "meta": "META_API_KEY",
        "cometapi": "COMETAPI_API_KEY",
        "elevenlabs": "ELEVENLABS_API_KEY",
        "suno": "SUNO_API_KEY",
    }.items()
    if (key := env.str(name, "").strip())
}
# How many wire requests one call may make before its first byte: failover and repeats together.
UPSTREAM_TRIES = env.int("UPSTREAM_TRIES", 3)
if not 1 <= UPSTREAM_TRIES <= 10:
    refuse("UPSTREAM_TRIES", "must be from 1 to 10")
OPENROUTER_SITE_URL = env.str("OPENROUTER_SITE_URL", "")
OPENROUTER_SITE_NAME = env.str("OPENROUTER_SITE_NAME", "")
# The default storefront's first price plan (0.10 is USD of profit per package order; see the presets in billing).
TOKEN_MARKUP_PERCENTAGE = env.str("TOKEN_MARKUP_PERCENTAGE", "25")
MIN_PROFIT_MARGIN = env.str("MIN_PROFIT_MARGIN", "0.10")
BULK_DISCOUNT_THRESHOLD = env.int("BULK_DISCOUNT_THRESHOLD", 1_000_000)
BULK_DISCOUNT_PERCENTAGE = env.str("BULK_DISCOUNT_PERCENTAGE", "5")
# Telegram storefront (comes later): the bot's token and its administrators' ids.
TELEGRAM_BOT_TOKEN = env.str("TOKEN", "")
TELEGRAM_ADMIN_IDS = env.list("ADMIN_ID_LIST", cast=int, default=[])
RAPIDAPI_SECRET = env.str("RAPIDAPI_SECRET", "")
