"""Who and what the demonstration shows: two shops, a dozen customers with habits of their own, three providers.

Only data. Everything is sandbox stock, so that no credit of the demonstration ever reaches a real provider.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Customer:
    """One organization: how busy, on which days, from where, and how it came to us."""

    name: str
    share: float
    channel: str
    zone: str = "UTC"
    country: str = "US"
    weekend: float = 0.35  # of a weekday's calls
    growth: float = 1.0  # last day's rate over the first day's
    joins: int = 0  # days after the beginning
    leaves: int = 90
    keys: tuple[str, ...] = ("Production", "Staging")
    budget_usd: int = 400
    multiplier: str = "1"
    shop: int = 0


CUSTOMERS = (
    Customer("Acme Robotics", 9.0, "search", "America/New_York", "US", growth=1.8, budget_usd=900),
    Customer("Bluebird Travel", 5.0, "referral", "Europe/Berlin", "DE", weekend=1.3, budget_usd=600),
    Customer("Cobalt Legal", 3.0, "search", "Europe/London", "GB", weekend=0.05, budget_usd=700),
    Customer("Dune Analytics Lab", 2.5, "youtube", "Asia/Kathmandu", "NP", growth=2.5, keys=("Notebook",)),
    Customer("Evergreen School", 1.5, "youtube", "Australia/Sydney", "AU", weekend=0.1, keys=("Class A", "Class B")),
    Customer("Foxglove Studio", 2.0, "newsletter", "America/Sao_Paulo", "BR", joins=25, growth=3.0),
    Customer("Gearbox Games", 4.0, "youtube", "Asia/Tokyo", "JP", weekend=1.8, joins=10, budget_usd=800),
    Customer("Harbor Clinic", 1.2, "referral", "Europe/Paris", "FR", weekend=0.2, leaves=60),
    Customer("Inkwell Press", 0.8, "newsletter", "Asia/Kolkata", "IN", joins=45),
    Customer("Juniper Labs", 1.0, "search", "UTC", "NL", joins=70, budget_usd=2, keys=("Trial",)),
    Customer("Kestrel Wholesale", 6.0, "partner", "America/Chicago", "US", multiplier="0.9", budget_usd=1500, shop=1),
    Customer("Lumen Support", 2.0, "partner", "Europe/Madrid", "ES", weekend=0.8, growth=0.6, shop=1),
)
SHOPS = ("", "Nimbus AI")

# slug, name, provider, input, cached, output (USD per million), typical input and output tokens, popularity
MODELS = (
    ("demo/atlas-large", "Atlas Large", "demo-atlas", "3.00", "0.30", "15.00", 2_600, 520, 3.0),
    ("demo/atlas-mini", "Atlas Mini", "demo-atlas", "0.15", "0.075", "0.60", 1_400, 320, 6.0),
    ("demo/atlas-thinking", "Atlas Thinking", "demo-atlas", "15.00", "7.50", "60.00", 1_800, 1_400, 0.6),
    ("demo/borealis-pro", "Borealis Pro", "demo-borealis", "1.25", "0.31", "10.00", 3_400, 460, 2.0),
    ("demo/borealis-flash", "Borealis Flash", "demo-borealis", "0.10", "0.025", "0.40", 2_200, 380, 4.0),
    ("demo/cirrus-open", "Cirrus Open 70B", "demo-cirrus", "0.59", "0.59", "0.79", 1_100, 410, 1.5),
)
PROVIDERS = {"demo-atlas": "Atlas", "demo-borealis": "Borealis", "demo-cirrus": "Cirrus"}
OUTAGE_DAY = 52  # one provider fails for some hours, and everybody can see it
PRICE_CHANGE_DAY = 45
CHANNEL_COST_USD = {"search": 640, "youtube": 300, "referral": 80, "newsletter": 120, "partner": 200}
